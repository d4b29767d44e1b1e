"""Which models tell costs apart? Families of Keras models, drawn for what they reveal.

`families` holds a record a family, `model_sets` draws sets of them, `counting` counts these, and
`design` says what they tell apart. Here stands what a family of one's own needs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "builders": ["decoder", "encoder"],
    "families": ["FAMILIES", "Bounds", "Family", "Pairs", "build"],
    "counting": ["count_models"],
    "design": ["design_report", "factors_of", "matched_pairs"],
    "optimal_design": ["informative_order"],
    "model_sets": ["convolutional", "feed_forward", "model_set", "transformer"],
    "set_files": ["read_model_set", "write_model_set"],
})
