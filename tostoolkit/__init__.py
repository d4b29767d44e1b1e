"""Transistor operations (TOs): where a deep-learning model's energy goes.

    Keras model -> layer calls -> op counts -> (x cost table) -> transistor operations
    model set -> measured runs (joules, seconds) -> scaling law -> figures

The public names, in the order of that pipeline. Each is loaded when it is first used, so that
importing the package loads neither Keras nor TensorFlow.
"""

import lazy_loader

from . import extras

_NAMES = {
    "introspection": ["LayerCall", "abstract", "layer_calls"],
    "op_count": ["OP_COUNTERS", "count_ops"],
    "data_movement": ["count_bytes"],
    "cost_table": ["cost_tables", "load_cost_table"],
    "report": ["Report", "compare", "cost_shares", "transistor_ops"],
    "predictors": ["add_indices", "add_predictors", "count_row", "predictor_table"],
    "design": [
        "DesignReport", "design_correlation", "design_report", "factors_of", "matched_pairs"],
    "transformers": ["decoder", "encoder"],
    "model_builders": ["BUILDERS"],
    "model_sets": ["feed_forward", "convolutional", "transformer", "count_models"],
    "steps": ["step"],
    "energy": ["Measurement", "measure", "meters"],
    "runs_file": ["load_runs"],
    "run_order": ["informative_order"],
    "sweep": ["run_sweep"],
    "datasets": ["ec_nas_model", "read_runs"],
    "regression": ["precision_metrics"],
    "run_checks": ["variance_inflation"],
    "scaling_law": ["ScalingLaw"],
    "law_files": ["load_scaling_law"],
    "law_fit": ["fit_scaling_law"],
    "validation": ["held_out_predictions", "permutation_check"],
    "comparison": ["compare_predictors"],
    "noise": ["noise_ceiling"],
    "pair_effects": [
        "matched_pair_effects", "matched_pair_summary", "pairs_needed",
        "predicted_pair_effects"],
    "results": ["carried_over", "mean_of_repeats", "read_numbers", "significant", "verdicts",
                "write_numbers"],
    "sensitivity": ["cost_sensitivity", "table_sensitivity"],
}

__version__ = "0.3.0.dev0"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["activations", "circuits", "datasets", "figures", "op_kinds", "op_trace", "plots"],
    submod_attrs=_NAMES,
)
extras.install()
