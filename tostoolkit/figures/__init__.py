"""What does the paper show? Data in, ``Figure`` out: nothing here reads a file or shows a window.

`paper` holds one function a figure, `explore` drawings to look at, `style` sizes, fonts and saving.
"""

from importlib import import_module

import lazy_loader

_listed, _, _NAMES = lazy_loader.attach(
    __name__, submodules=["paper", "explore", "style"], submod_attrs={
        "explore": ["circuit", "comparison", "report_overview"],
        "style": ["caption", "new_figure", "save", "styled"]})


def __getattr__(name):
    if name in _NAMES or name.startswith("_"):
        return _listed(name)
    figures = _paper()
    return figures[name] if name in figures else _listed(name)


def __dir__():
    return sorted([*_NAMES, *_paper()])


def _paper():
    """Return the figures of `paper` by their names: each function that stands there is one."""
    module = import_module(f"{__name__}.paper")
    return {name: function for name, function in vars(module).items()
            if getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")}
