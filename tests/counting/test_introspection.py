"""Each private name of Keras that the package uses, by what it is relied on for."""

import ast
from pathlib import Path

import keras
import pytest
from keras import layers
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.counting.introspection import (
    cast_to,
    inspect,
    kind_of,
    makes_masks,
    sublayers,
)

PACKAGE = Path(tos.__file__).parent
#: All that knows Keras' private names; those of the second are tested in test_layer_state.
ALONE = [PACKAGE / "counting" / name for name in (
    "introspection.py", "layer_state.py", "running_state.py")]


# --- nobody else uses one

def private_names(code):
    """Return what a module says that only Keras' own code should: its private names."""
    said, tree = [], ast.parse(code)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
             for part in node.values}  # the end of a name that is put together: public ones
    for node in ast.walk(tree):
        if id(node) in parts:
            continue
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not (
                node.attr.endswith("__")
                or (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))):
            said.append(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src"):
            said.append(node.module)
        elif isinstance(node, ast.Import):
            said += [a.name for a in node.names if a.name.startswith("keras.src")]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (
                node.value.startswith("keras.src")
                or (node.value.isidentifier() and node.value.startswith("_")
                    and not node.value.startswith("__"))
                or node.value in ("BaseOptimizer", "TFOptimizer", "Functional")):
            said.append(node.value)
    return said


#: What looks private and is not Keras': of our own, of TensorFlow's graphs, of named tuples, of
#: the display protocol of Jupyter.
NOT_KERAS = {
    "tensorflow_graph.py": {"_add"},
    "tensorflow_folding.py": {"_val"},  # the end of a field's name
    "tensorflow_functions.py": {"_get_function", "_is_function", "_output_shapes"},
    "functions.py": {"_fields"},
    "memory.py": {"_op_type", "_registry"},  # TensorFlow's
    # functions of JAX's
    "jax_graph.py": {"_var", "_std"},
    "jax_ops.py": {"_uniform", "_normal", "_normal_real", "_truncated_normal", "_randint",
                   "_one_hot"},
    "rule.py": {"_initializer", "_regularizer", "_constraint"},  # ends of arguments' names
    "torch_graph.py": {"_C", "_autograd", "_cdata", "_current_autograd_node", "_get_sequence_nr",
                       "_foreach_", "_local_scalar_dense", "_schema", "_sequence_nr", "_"},
    "torch_module.py": {"_C", "_get_mkldnn_enabled", "_set_mkldnn_enabled"},
    "torch_tensors.py": {"_schema", "_"},
    "torch_runs.py": {"_replace"},
}
#: Tables of the names of PyTorch's ops, many of which are private to PyTorch.
TABLES = ("torch_algorithms.py", "torch_kernels.py", "torch_ops.py", "torch_tables.py")


def strings(code):
    """Return the strings in a module."""
    return {node.value for node in ast.walk(ast.parse(code))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_private_names_of_keras_stand_in_introspection_alone():
    said = {}
    for path in (PACKAGE / "counting").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        names = set(private_names(code)) - (strings(code) if path.name in TABLES else set())
        said[path.name] = names - NOT_KERAS.get(path.name, set())
    assert len(said["introspection.py"]) >= 5
    assert {name: names for name, names in said.items()
            if names and name not in {path.name for path in ALONE}} == {}


def test_the_rest_of_the_package_does_not_import_from_keras_src():
    for path in PACKAGE.rglob("*.py"):
        if path not in ALONE:
            assert "keras.src" not in "".join(
                n for n in private_names(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("code", [
    "model._functional", "layer._use_bias", "from keras.src.ops import numpy",
    "import keras.src.layers", "getattr(model, '_flatten_layers')", "hasattr(m, '_nodes_by_depth')",
    "def f():\n    return x.y._build_shapes_dict", "[c for c in m if c.__name__ == 'TFOptimizer']",
])
def test_the_check_sees_a_private_name_however_it_is_said(code):
    assert private_names(code)


def test_the_check_passes_what_is_our_own():
    assert private_names("self._x; _f(); model.__class__; x['_y']; 'a _b'") == ["_y"]
    assert private_names("self.x; _f(cls._y); model.__dict__; 'not _private'") == []


# --- Sequential._functional, Function._nodes_by_depth, keras.src...Functional

def test_graph_finds_functional_graphs_and_nothing_else():
    class Overridden(keras.Model):
        def call(self, x):
            return x

    class Through(keras.Sequential):
        def call(self, x):
            return x

    inputs = keras.Input((3,))
    assert inspect(small_classifier()).graph is not None
    assert inspect(keras.Model(inputs, inputs + 1)).graph is not None
    assert inspect(Overridden(inputs, inputs + 1)).graph is None
    assert inspect(Through([keras.Input((3,)), keras.layers.Dense(2)])).graph is None
    assert inspect(keras.Sequential([keras.layers.Dense(2)])).graph is None  # not built
    assert inspect(keras.layers.Dense(3)).graph is None


def test_a_graph_lists_its_nodes_in_the_order_of_execution_without_inputs():
    graph = inspect(small_classifier()).graph
    assert [node.kind for node in graph.nodes] == [
        "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D", "Flatten", "Dense"]
    written = {id(t) for t in graph.inputs}
    for node in graph.nodes:
        assert all(id(t) in written for t in node.inputs)
        written |= {id(t) for t in node.outputs}
    assert [id(t) for t in graph.outputs] == [id(t) for t in graph.nodes[-1].outputs]


def test_nested_graphs_stand_in_their_nodes():
    nested = [node for node in inspect(shared_and_nested()).graph.nodes if node.graph]
    assert [node.operation.name for node in nested] == ["nested", "nested"]
    (core,) = nested[0].graph.nodes
    assert [node.operation.name for node in core.graph.nodes] == ["deep"]


# --- Layer._flatten_layers

def test_sublayers_are_those_at_any_depth():
    model = shared_and_nested()
    names = {layer.name for _, layer in sublayers(model)}
    assert {"shared", "nested", "core", "deep"} <= names
    assert [kind for kind, _ in sublayers(keras.layers.TimeDistributed(keras.layers.Dense(2)))] == [
        "Dense"]
    assert sublayers(keras.layers.Dense(2)) == ()
    assert sublayers(object()) == ()


# --- keras.src modules, where the classes of operators stand

def test_a_cast_is_the_operator_of_keras():
    x = keras.Input((2,), dtype="int32")
    within = inspect(keras.Model(x, keras.ops.cast(x, "float16"))).graph.nodes[0].operation
    assert type(cast_to("float16")) is type(within)
    assert cast_to("float16").dtype == within.dtype


def test_kind_is_decided_by_the_class_itself():
    class Exp(keras.Operation):
        def call(self, x):
            return keras.ops.exp(x)

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    class Impostor(keras.Operation):
        pass

    Impostor.__module__, Impostor.__name__ = "keras.src.ops.numpy", "Exp"
    inputs = keras.Input((3,))
    assert inspect(keras.Model(inputs, keras.ops.exp(inputs))).graph.nodes[0].kind == "ops.Exp"
    assert inspect(keras.Model(inputs, Exp()(inputs))).graph.nodes[0].kind == "Exp"
    assert kind_of(Impostor()) == "Exp"  # which no rule is known by


@pytest.mark.parametrize("name", ["Dense", "LSTMCell", "GroupQueryAttention", "MaxPool2D"])
def test_a_class_that_borrows_a_keras_name_is_marked(name):
    assert kind_of(type(name, (keras.layers.Layer,), {})()) == f"custom>{name}"


def test_every_layer_that_keras_ships_is_known_by_its_class():
    shipped = {c for c in vars(keras.layers).values() if isinstance(c, type)}
    assert len(shipped) > 100
    for cls in shipped:
        assert kind_of(object.__new__(cls)) == cls.__name__


def test_what_makes_masks():
    own = type("Own", (layers.Layer,), {"compute_mask": lambda self, x, mask=None: x > 0})
    for layer in (layers.Masking(), layers.Embedding(3, 2, mask_zero=True), own()):
        assert makes_masks(layer)
    x = keras.Input((3,))
    operator = keras.Model(x, keras.ops.exp(x)).operations[-1]
    for layer in (layers.Embedding(3, 2), layers.Dense(2), operator):
        assert not makes_masks(layer)
