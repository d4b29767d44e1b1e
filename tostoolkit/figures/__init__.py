"""What does the paper show? Data in, ``Figure`` out: nothing here reads a file or shows a window.

`paper` holds one function a figure, `explore` drawings to look at, `style` sizes, fonts and saving.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "paper": [
        "published_energies", "op_costs", "to_shares", "design", "scaling_law",
        "predicted_against_measured", "heldout_error", "predictor_errors", "cost_sensitivity",
        "pair_effects"],
    "explore": ["circuit", "comparison", "report_overview"],
    "style": ["caption", "new_figure", "save", "styled"],
})
