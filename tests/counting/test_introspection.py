"""Each private name of Keras that the package uses, by what it is relied on for."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest
from models import shared_and_nested, small_classifier

import tostoolkit as tos
from tostoolkit.counting.introspection import (
    current_scope,
    global_seed,
    has_loss_weights,
    inspect,
    is_built_for,
    is_seed,
    kind_of,
    sublayers,
    unchanged,
    with_functions,
    with_places,
)

PACKAGE = Path(tos.__file__).parent
#: All that knows Keras' private names; those of the second are tested in test_layer_state.
ALONE = [PACKAGE / "counting" / name for name in ("introspection.py", "layer_state.py")]


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
    "tensorflow_functions.py": {"_get_function", "_is_function", "_output_shapes"},
    "functions.py": {"_fields"},
    # functions of JAX's
    "jax_graph.py": {"_var", "_std"},
    "jax_ops.py": {"_uniform", "_normal", "_normal_real", "_truncated_normal", "_randint",
                   "_one_hot"},
    "rule.py": {"_initializer", "_regularizer", "_constraint"},  # ends of arguments' names
    "torch_graph.py": {"_C", "_autograd", "_cdata", "_current_autograd_node", "_get_sequence_nr",
                       "_foreach_", "_local_scalar_dense", "_schema", "_sequence_nr", "_"},
    "torch_tensors.py": {"_schema", "_"},
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


# --- global_state of uninitialised variables

# --- what runs a model, and puts it back

def test_the_scope_is_that_which_keras_is_in():
    class Scoped(keras.layers.Layer):
        def call(self, x):
            scopes.append(current_scope())
            return x

    scopes = []
    model = keras.Sequential([keras.Input((2,)), Scoped(name="inside")], name="outside")
    model(np.zeros((1, 2), "float32"))
    assert scopes[-1].split("/")[-1] == "inside"
    assert current_scope() == ""


def test_places_stand_for_every_variable_and_leave_it_what_it_was():
    dense = keras.layers.Dense(3)
    dense.build((None, 2))
    before = [v.numpy() for v in dense.variables]
    with with_places(dense.variables, lambda shape, dtype, trainable: "a place", every=True):
        assert [v._value for v in dense.variables] == ["a place"] * 2
    for value, variable in zip(before, dense.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_random_numbers_come_from_seeds():
    dropout = keras.layers.Dropout(0.5)
    assert [is_seed(v) for v in dropout.variables] == [True]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    assert not any(map(is_seed, model.variables))
    assert is_seed(global_seed())


def test_a_function_of_the_backend_is_replaced_and_put_back():
    x = np.ones((2, 3), "float32")
    with with_functions(moments=lambda *args, **kwargs: "moments"):
        assert keras.ops.moments(x, axes=[0]) == "moments"
    assert keras.ops.moments(x, axes=[0])[0].shape == (3,)


def test_abstract_models_stay_abstract_when_another_scope_ends():
    """Keras would allocate them then: 4 TB here."""
    with tos.abstract():
        model = keras.Sequential([keras.Input((10**6,)), keras.layers.Dense(10**6)])
    with keras.StatelessScope():
        pass
    assert model.weights[0]._value is None
    real = keras.layers.Dense(2)
    real(keras.ops.ones((1, 3)))
    assert real.weights[0]._value is not None


# --- Variable._value, _initializer, _initialize*, _deferred_initialize

def test_what_is_made_without_memory_knows_its_shape_and_what_would_fill_it():
    class Lazy(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.scale = keras.layers.Dense(2), keras.Variable([1.0, 2.0])

        def call(self, x):  # which Keras runs in a scope of its own to build what is inside
            return self.inner(x) * self.scale

    with tos.abstract():
        model = keras.Sequential([keras.Input((3,)), Lazy(), keras.layers.Dropout(0.5)])
        model.compile("adam", "mse")
    variables = [*model.variables, *model.optimizer.variables]
    assert len(variables) > 5
    assert [v._value for v in variables] == [None] * len(variables)
    assert tuple(model.layers[0].scale.shape) == (2,)
    assert keras.ops.convert_to_numpy(model.layers[0].scale.value).tolist() == [1.0, 2.0]
    assert keras.Variable(3.0)._value is not None  # outside all is as it was


def test_places_stand_where_there_are_no_values_and_leave_again():
    with tos.abstract():
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
    asked = []

    def place(shape, dtype, trainable):
        asked.append((shape, dtype, trainable))
        return keras.ops.zeros(shape, dtype)

    with with_places(layer.variables, place):
        assert layer.kernel._value is not None
        made = keras.Variable(1.0)  # of a constant
        keras.Variable(initializer="ones", shape=(4,), trainable=False)
    assert asked == [((3, 2), "float32", True), ((2,), "float32", True), ((), "float32", True),
                     ((4,), "float32", False)]
    assert layer.kernel._value is None
    assert made._value is not None


# --- Optimizer._trainable_variables_indices, _var_key; CompileLoss._user_loss_weights

def test_an_optimizer_knows_the_variables_that_it_was_built_for():
    one, other = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer = keras.optimizers.Adam()
    assert not is_built_for(optimizer, [one])
    optimizer.build([one])
    assert is_built_for(optimizer, [one])
    assert not is_built_for(optimizer, [one, other])


def test_weights_of_losses_are_seen():
    model = small_classifier()
    assert not has_loss_weights(model)
    model.compile("sgd", "mse")
    assert not has_loss_weights(model)
    model.compile("sgd", "mse", loss_weights=0.5)
    assert has_loss_weights(model)


# --- the dictionaries and lists of Keras and TensorFlow: Tracker, _storage, __wrapped__

def test_unchanged_puts_back_what_a_layer_holds():
    layer = keras.layers.Dense(2)
    layer.listed, layer.named, layer.plain = [1], {"a": 1}, 1
    with unchanged(layer):
        layer.listed.append(2)
        layer.named["b"], layer.plain = 2, 2
        layer.new = keras.layers.Dense(3)
        layer.build((None, 3))
    assert (list(layer.listed), dict(layer.named), layer.plain) == ([1], {"a": 1}, 1)
    assert not layer.built
    assert not hasattr(layer, "new")
    assert layer.variables == []
    layer.build((None, 3))
    assert len(layer.variables) == 2
