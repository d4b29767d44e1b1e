"""What `mixed_cases` count on JAX, as JSON: bare, in a layer's call, and by the oracle's jaxpr."""

import json

import jax
import jaxpr
from mixed_cases import CASES
from operator_models import counted, model_of


def by_name(counts):
    return {f"{dtype} {op}": int(n) for (dtype, op), n in counts.items() if n}


def counts_of(function, shapes):
    """Return the counts of a function of inputs of these shapes and dtypes, each way."""
    shapes = [s if isinstance(s[0], tuple) else (s, "float32") for s in shapes]
    found = {place: by_name(counted(model_of(function, shapes, place)))
             for place in ("bare", "layer")}
    try:
        found["jaxpr"] = by_name(jaxpr.count(
            function, *[jax.ShapeDtypeStruct(*shape) for shape in shapes]))
    except jaxpr.NotCounted as error:
        found["jaxpr"] = {str(error): 1}
    return found


if __name__ == "__main__":
    print(json.dumps({name: counts_of(f, shapes) for name, (f, shapes, _) in CASES.items()}))
