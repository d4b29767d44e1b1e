"""Transistor operations (TOs): where a deep-learning model's energy goes.

    Keras model -> layer calls -> op counts -> (x cost table) -> transistor operations
    model set -> measured runs (joules, seconds) -> scaling law -> figures

The public names, in the order of that pipeline. Each is loaded when it is first used, so that
importing the package loads neither Keras nor TensorFlow.
"""

import lazy_loader

from . import extras

_NAMES = {
    # what does a model compute?
    "counting.running_state": ["abstract"],
    "counting.walk": ["layer_calls"],
    "counting.count": ["count_ops"],
    "counting.data_movement": ["count_bytes"],
    "counting.rules": ["OP_COUNTERS"],
    # what does an op cost?
    "costs.cost_table": ["cost_tables", "load_cost_table"],
    "costs.report": ["transistor_ops"],
    "costs.comparison": ["compare", "activation_costs"],
    "costs.predictors": ["predictors"],
    "costs.pricing": ["price"],
    # which models tell it apart?
    "models.model_sets": ["feed_forward", "convolutional", "transformer"],
    "models.counting": ["count_models"],
    "models.design": ["design_report"],
    # what did it take?
    "measuring.meters": ["meters"],
    "measuring.counters": ["Meter"],
    "measuring.window": ["Window"],
    "measuring.measure": ["measure"],
    "measuring.sweep": ["run_sweep"],
    "measuring.runs": ["load_runs"],
    # which count predicts it?
    "laws.fit": ["fit_scaling_law"],
    "laws.law": ["load_scaling_law"],
    "laws.comparison": ["compare_predictors", "cost_sensitivity"],
    "laws.repeats": ["repeatability"],
    "laws.pairs": ["pair_effects"],
    "laws": ["results"],
}

__version__ = "0.3.0.dev0"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["circuits", "datasets", "figures", "models"],
    submod_attrs=_NAMES,
)
extras.install()
