"""What a saved model costs, what a model set takes, what others measured, which meters are here.

    python -m tostoolkit count model.keras
    python -m tostoolkit count FOLDER --input-shape 224,224,3
    python -m tostoolkit sweep feed_forward --minutes 9 --out runs.csv
    python -m tostoolkit draw feed_forward --size large --out set.csv
    python -m tostoolkit data --to data/external
    python -m tostoolkit meters
    python -m tostoolkit tables --out FOLDER
"""

import argparse
import re
import sys
import warnings

from .extras import MissingLibrary


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what it says goes to the standard output, an error ends the process."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            print(options.run(options))
    except (OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        sys.exit(f"{parser.prog}: {error}")
    except MissingLibrary as error:
        sys.exit(str(error))
    except KeyboardInterrupt as error:
        sys.exit(" ".join([f"{parser.prog}: interrupted.", *getattr(error, "__notes__", ())]))


def _parser():
    from .models.families import FAMILIES

    parser = argparse.ArgumentParser(
        prog="python -m tostoolkit", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    model_set = argparse.ArgumentParser(add_help=False)
    model_set.add_argument("family", choices=list(FAMILIES))
    model_set.add_argument("--n", type=int, help="configurations")
    model_set.add_argument("--size", help="small, for a CPU (the default); large, for a GPU; or "
                                          "another of the family's")
    model_set.add_argument("--phase", nargs="+", dest="phases", choices=["inference", "training"])
    model_set.add_argument("--dtype", nargs="+", dest="dtypes", help="Keras dtype policies")

    count = commands.add_parser("count", help="count a saved Keras model")
    count.set_defaults(run=_count)
    count.add_argument("model", help="a .keras or .h5 file, or the folder of a SavedModel")
    count.add_argument("--costs", default="cmos", help="cost table: a name, or a CSV file")
    count.add_argument("--batch-size", type=int, default=1)
    count.add_argument("--input-shape", action="append", type=_shape, metavar="SHAPE",
                       help="of one sample, where the model leaves it open: 224,224,3; of several "
                            "inputs one each, in their order or as NAME=SHAPE")
    count.add_argument("--phase", default="inference", choices=["inference", "training"])
    count.add_argument("--loss", help="for training; that of the file, when left out")
    count.add_argument("--optimizer", help="likewise")
    count.add_argument("--missing", default="raise", choices=["raise", "skip"],
                       help="what to do with ops that the table does not price")
    count.add_argument("--format", default="text", choices=list(FORMATS))

    sweep = commands.add_parser(
        "sweep", parents=[model_set], help="measure a model set; run it again and it resumes",
        description="Measure a model set into a runs file. The same command again resumes.")
    sweep.set_defaults(run=_sweep)
    sweep.add_argument("--out", required=True, help="runs file: made, or resumed")
    sweep.add_argument("--minutes", type=float, help="time to spend; the most informative first")
    sweep.add_argument("--repeats", type=int, default=3)
    sweep.add_argument("--seconds", type=float, default=2.0, help="least length of a window")
    sweep.add_argument("--seed", type=int, default=0, help="of the order, weights and inputs")
    sweep.add_argument("--meter", default="auto",
                       help="auto, none, or names as `meters` shows: nvml, nvml:1, nvml,rapl")
    sweep.add_argument("--retry-failed", action="store_true", help="measure failed runs again")

    draw = commands.add_parser(
        "draw", parents=[model_set],
        help="draw a model set anew, from counted work, into a CSV file",
        description="Draw a model set anew, from counted work, into a CSV file. The default sets "
        "ship; --size alone draws what replaces one.")
    draw.set_defaults(run=_draw)
    draw.add_argument("--out", required=True, help="CSV file")
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--force", action="store_true", help="write over a file that is there")

    data = commands.add_parser(
        "data", help="fetch published measurements, check them, and say what is missing")
    data.set_defaults(run=_data)
    data.add_argument("names", nargs="*", metavar="NAME", help="data sets; all when left out")
    data.add_argument("--to", required=True, metavar="FOLDER", help="for instance data/external")

    meters = commands.add_parser("meters", help="which energy meters are here, and why not others")
    meters.set_defaults(run=_meters)

    tables = commands.add_parser("tables", help="write the cost tables that circuits give")
    tables.set_defaults(run=_tables)
    tables.add_argument("--out", required=True, metavar="FOLDER",
                        help="where they go, one CSV file each; it must exist")
    return parser


def _shape(text):
    """Return the (name, shape) of an argument; the name is None where it gives none."""
    name, _, sizes = text.rpartition("=")
    if not re.fullmatch(r"\s*[(\[]?\s*\d+(\s*[\s,x]\s*\d+)*\s*,?\s*[)\]]?\s*", sizes):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no shape of one sample; give 784, or 224,224,3, or image=224,224,3")
    return name.strip() or None, tuple(map(int, re.findall(r"\d+", sizes)))


def _input_shape(given):
    """Return the shapes of the command line as `count_ops` takes them."""
    if not given:
        return None
    names = [name for name, _ in given]
    if all(names) and len(set(names)) == len(names):
        return dict(given)
    if any(names):
        raise ValueError("--input-shape: name each input once, or none of them: "
                         + " ".join(f"--input-shape {name or 'NAME'}={','.join(map(str, shape))}"
                                    for name, shape in given))
    return [shape for _, shape in given] if len(given) > 1 else given[0][1]


def _count(options):
    from .costs.cost_table import load_cost_table
    from .costs.report import transistor_ops
    from .counting.saved import load_saved, why_uncounted

    costs, shape = load_cost_table(options.costs), _input_shape(options.input_shape)
    training = options.phase == "training"
    compiled = training and not (options.loss and options.optimizer)
    model = load_saved(options.model, compiled, training)
    try:
        report = transistor_ops(
            model, costs, options.batch_size, options.phase, input_shape=shape,
            missing=options.missing, loss=options.loss, optimizer=options.optimizer)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(why_uncounted(options.model, error)) from error
    return FORMATS[options.format](report)


def _sweep(options):
    from .measuring.sweep import run_sweep, runs_left

    models = _model_set(options)
    names = options.meter.split(",")
    meter = None if names == ["none"] else names if len(names) > 1 else names[0]
    runs = run_sweep(
        models, options.out, options.repeats, options.seconds, options.seed, meter,
        minutes=options.minutes, retry_failed=options.retry_failed)
    left = len(runs_left(models, options.out, options.repeats, meter, options.retry_failed))
    energy = runs.energy_j.notna().sum()
    lines = [f"{options.out}: {len(runs)} runs, {energy} with joules"]
    if len(runs) and not energy:
        lines.append(f"no joules: {runs.missing.iloc[-1]}")
    lines.append(f"{left} runs remain: the same command again goes on" if left else "complete")
    return "\n".join(lines)


def _model_set(options, **kwargs):
    from .models.model_sets import model_set

    asked = {name: getattr(options, name) for name in ("n", "size", "phases", "dtypes")}
    given = {name: value for name, value in asked.items() if value is not None}
    return model_set(options.family, **given, **kwargs)


def _draw(options):
    from pathlib import Path

    from . import __version__
    from .models.counting import count_models
    from .models.design import design_report
    from .models.optimal_design import FEWEST
    from .models.set_files import write_model_set

    if Path(options.out).exists() and not options.force:  # said before minutes of drawing
        raise FileExistsError(f"out: {options.out!r} is there; give another file, or --force")
    models = _model_set(options, seed=options.seed, afresh=True)
    write_model_set(models, options.out, f"drawn in tostoolkit {__version__} from counted work, "
                    f"seed {options.seed}", options.force)
    lines = [f"{options.out}: {len(models)} configurations"]
    if models.groupby("phase").size().min() >= FEWEST:
        lines.append(str(design_report(count_models(models))))
    return "\n\n".join(lines)


def _data(options):
    from .datasets import DATASETS, fetch

    lines, missing = [], []
    for name in options.names or DATASETS:
        try:
            lines.append(f"{name}: {fetch(name, options.to)} runs")
        except (OSError, ValueError, ImportError) as error:  # the others are fetched all the same
            missing.append(f"{name}: missing. {error}")
    if missing:
        raise OSError("\n".join(["not every data set is there", *lines, *missing]))
    return "\n".join(lines)


def _meters(options):
    from .measuring.meters import meters

    return meters().to_string()


def _tables(options):
    from .circuits.tables import write_tables

    return "\n".join(f"wrote {path.as_posix()}" for path in write_tables(options.out))


def _show_warning(message, *_, **__):
    print(f"warning: {message}", file=sys.stderr)


#: Name -> function that turns a `Report` into text.
FORMATS = {
    "text": str,
    "csv": lambda report: report.per_layer.to_csv(lineterminator="\n").rstrip("\n"),
    "json": lambda report: report.per_layer.reset_index().to_json(orient="records", indent=1),
    "latex": lambda report: report.by_op.to_latex(float_format="%.4g").rstrip("\n"),
    "html": lambda report: report._repr_html_(),
}

if __name__ == "__main__":
    main()
