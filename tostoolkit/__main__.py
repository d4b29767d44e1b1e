"""``python -m tostoolkit count model.keras``: what a saved model costs, from the command line."""

import argparse
import sys


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tostoolkit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    count = commands.add_parser("count", help="count a saved Keras model")
    count.add_argument("model", help="a .keras or .h5 file")
    count.add_argument("--costs", default="cmos", help="cost table: a name, or a CSV file")
    count.add_argument("--batch-size", type=int, default=1)
    count.add_argument("--phase", default="inference", choices=["inference", "training"])
    count.add_argument("--loss", help="for training, where the model is not compiled")
    count.add_argument("--optimizer", help="likewise")
    count.add_argument("--missing", default="raise", choices=["raise", "skip"],
                       help="what to do with ops that the table does not price")
    count.add_argument("--format", default="text", choices=list(FORMATS))
    options = parser.parse_args(arguments)
    try:
        report = _report(options)
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(FORMATS[options.format](report))


def _report(options):
    import keras

    from .report import transistor_ops

    model = keras.saving.load_model(options.model)
    return transistor_ops(
        model, options.costs, options.batch_size, options.phase, missing=options.missing,
        loss=options.loss, optimizer=options.optimizer)


#: Name -> function that turns a `Report` into text.
FORMATS = {
    "text": str,
    "csv": lambda report: report.per_layer.to_csv().rstrip("\n"),
    "json": lambda report: report.per_layer.reset_index().to_json(orient="records", indent=1),
    "latex": lambda report: report.by_op.to_latex(float_format="%.4g").rstrip("\n"),
    "html": lambda report: report._repr_html_(),
}

if __name__ == "__main__":
    main()
