"""Transistor operations (TOs): where a deep-learning model's energy goes.

    Keras model -> layer calls -> op counts -> (x cost table) -> transistor operations
    model set -> measured runs (joules, seconds) -> scaling law -> figures

The public names, in the order of that pipeline. Each is loaded when it is first used, so that
importing the package loads neither Keras nor TensorFlow.
"""

import lazy_loader

from . import extras

_NAMES = {
    "counting.introspection": ["abstract"],
    "counting.calls": ["LayerCall"],
    "counting.walk": ["layer_calls"],
    "counting.rules": ["OP_COUNTERS"],
    "counting.count": ["count_bytes", "count_ops"],
    "counting.rows": ["count_row"],
    "costs.cost_table": ["cost_tables", "load_cost_table"],
    "costs.report": ["Report", "compare", "transistor_ops"],
    "costs.report_views": ["si"],
    "costs.activations": ["activation_costs"],
    "costs.predictors": ["predictors", "price"],
    "models.transformers": ["decoder", "encoder"],
    "models.builders": ["BUILDERS"],
    "models.design": [
        "DesignReport", "design_correlation", "design_report", "factors_of", "matched_pairs"],
    "models.model_sets": ["feed_forward", "convolutional", "transformer", "count_models"],
    "models.run_order": ["informative_order"],
    "measuring.steps": ["step"],
    "measuring.measure": ["Measurement", "measure", "meters"],
    "measuring.runs": ["load_runs"],
    "measuring.sweep": ["run_sweep"],
    "datasets": ["ec_nas_model", "read_runs"],
    "laws.prepare": ["precision_metrics"],
    "laws.run_checks": ["variance_inflation"],
    "laws.law": ["ScalingLaw"],
    "laws.law_files": ["load_scaling_law"],
    "laws.fit": ["fit_scaling_law"],
    "laws.validation": ["held_out_predictions", "permutation_check"],
    "laws.comparison": ["compare_predictors"],
    "laws.sensitivity": ["cost_sensitivity", "table_sensitivity"],
    "laws.noise": ["noise_ceiling"],
    "laws.pair_effects": [
        "matched_pair_effects", "matched_pair_summary", "pairs_needed",
        "predicted_pair_effects"],
    "laws.results": ["carried_over", "mean_of_repeats", "read_numbers", "significant", "verdicts",
                     "write_numbers"],
}

__version__ = "0.3.0.dev0"
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["circuits", "datasets", "figures", "op_kinds"],
    submod_attrs=_NAMES,
)
extras.install()
