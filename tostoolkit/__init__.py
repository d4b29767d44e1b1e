"""Transistor operations (TOs): where a deep-learning model's energy goes.

    Keras model -> layer calls -> op counts -> (x cost table) -> transistor operations
    model set -> measured runs (joules, seconds) -> scaling law -> figures

The public names, in the order of that pipeline. Each is loaded when it is first used, so that
importing the package loads neither Keras nor TensorFlow.
"""

import lazy_loader

_NAMES = {
    "introspection": ["LayerCall", "abstract", "layer_calls"],
    "op_count": ["OP_COUNTERS", "count_ops"],
    "data_movement": ["count_bytes"],
    "cost_table": ["cost_tables", "load_cost_table"],
    "report": ["Report", "compare", "cost_shares", "transistor_ops"],
    "predictors": ["add_indices", "count_row"],
    "design": ["DesignReport", "design_correlation", "design_report", "matched_pairs"],
    "transformers": ["decoder", "encoder"],
    "model_sets": ["feed_forward", "convolutional", "transformer", "count_models"],
    "steps": ["step"],
    "energy": ["Measurement", "measure", "meters"],
    "sweep": ["run_sweep", "load_runs"],
    "datasets": ["ec_nas_model", "read_runs"],
    "scaling_law": ["ScalingLaw", "fit_scaling_law", "precision_metrics", "variance_inflation"],
    "validation": ["compare_predictors", "held_out_predictions"],
}

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["activations", "circuits", "datasets", "figures", "op_kinds", "op_trace"],
    submod_attrs=_NAMES,
)
