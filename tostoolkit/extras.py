"""Libraries that only some of the package needs, and the error where one is not installed.

Functions import such a library where they use it. Where that import fails, Python asks the finder
below last, and the error says who needs the library and which extra brings it.
"""

import sys
from importlib.util import find_spec

#: Library, as it is imported -> the extra of tostoolkit that brings it; none of them brings the
#: backends whose makers have several builds of them. (What lacks Zeus is the meter of that name,
#: and says so.)
LIBRARIES = {
    "tensorflow": "tensorflow", "jax": None, "torch": None,
    **dict.fromkeys(["filelock", "itables", "matplotlib", "pooch", "pynvml", "scipy", "seaborn",
                     "statsmodels"], "study"),
    "distributed": "cluster",
}
#: Library -> its name in the package registry, where that is another.
DISTRIBUTIONS = {"distributed": "dask[distributed]", "pynvml": "nvidia-ml-py"}
BACKENDS = ("tensorflow", "jax", "torch")


class MissingLibrary(ModuleNotFoundError):
    """A library that is not installed; the message says how to install it."""


class Finder:
    """The last of ``sys.meta_path``: it finds nothing, and says so of our imports alone."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in LIBRARIES:
            frames = list(_importers())
            askers = [asker for asker in map(_asker, frames) if asker]
            if askers:
                by_keras = frames[0].f_globals.get("__name__", "").startswith("keras.")
                raise MissingLibrary(_message(askers[-1], name, by_keras), name=name)


def _importers():
    """Yield the frames that an import statement runs in, inmost first; none for `find_spec`."""
    frame = sys._getframe(2)
    while frame and frame.f_globals.get("__name__") == "importlib._bootstrap":
        frame = frame.f_back
    if frame and frame.f_globals.get("__name__") != "importlib.util":
        while frame:
            yield frame
            frame = frame.f_back


def _asker(frame):
    """Return what the user knows of ours that a frame runs, empty where it is not ours.

    That is a public function or method, a public module, or the command line.
    """
    package = frame.f_globals.get("__package__") or ""
    if package.partition(".")[0] != "tostoolkit":
        return ""
    module, name = frame.f_globals["__name__"], frame.f_code.co_qualname
    if module.endswith("__main__"):
        return f"python -m {package}"
    if "<locals>" in name:  # a wrapper; what it wraps runs within it
        return ""
    public = sys.modules["tostoolkit"].__all__
    part = module.split(".")[1] if "." in module else ""
    if name in ("<module>", "__getattr__"):  # as it is imported, or a name of it is asked for
        return f"tos.{part}" if part in public else module
    if name.partition(".")[0] in public:
        return f"tos.{name}"
    if part in public and hasattr(sys.modules[f"tostoolkit.{part}"], name.partition(".")[0]):
        return f"tos.{part}.{name}"
    return f"{module}.{name}"


def _message(asker, name, by_keras):
    """Return what to do where a library is missing; `by_keras`: it is Keras that imports it."""
    extra = LIBRARIES[name]
    distribution = DISTRIBUTIONS.get(name, name)
    install = f"pip install {distribution}"
    if extra and (not by_keras or name in BACKENDS):
        install = f"pip install 'tostoolkit[{extra}]'"
    if not by_keras:
        return f"{asker} needs {distribution}: {install}"
    here = [other for other in BACKENDS if other != name and find_spec(other)]
    instead = (f"; or set KERAS_BACKEND={here[0]}, which is installed, before Keras is imported"
               if here else "")
    return f"{asker} needs a backend of Keras, and {name} is not installed: {install}{instead}"


def install() -> None:
    """Have failing imports explained, once a process."""
    if Finder not in sys.meta_path:
        sys.meta_path.append(Finder)
