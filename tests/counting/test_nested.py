"""Models in models: what they are called with, and the masks on it, as Keras hands them over.

The oracle is the whole model, traced at once; where a comment derives a value, that is another.
"""

import keras
import pytest
from keras import layers, ops
from traced import trace_ops

import tostoolkit as tos
from tostoolkit.counting.count import count

F, I32 = "float32", "int32"
STEP = {"phase": "training", "loss": "mse", "optimizer": "sgd"}


def ids(steps=5):
    return keras.Input((steps,), dtype=I32)


def vectors(steps=5, **kwargs):
    return keras.Input((steps, 4), **kwargs)


def chosen(steps=5):
    return keras.Input((steps,), dtype="bool")


def table(**kwargs):
    return layers.Embedding(10, 4, mask_zero=True, **kwargs)


def unmasked():
    return layers.Embedding(10, 4)


def inner(*stack):
    x = i = vectors()
    for layer in stack:
        x = layer(x)
    return keras.Model(i, x)


def looks():
    return inner(layers.Dense(4), layers.LSTM(3))


def hands_on():
    return inner(layers.Dense(4, activation="tanh"))


def of_ids(call):
    i = ids()
    return keras.Model(i, call(i))


def with_mask(call):
    i, k = ids(), chosen()
    return keras.Model([i, k], call(i, k))


def shared_with_three_masks():
    model = inner(layers.LSTM(4, return_sequences=True))

    def call(i):
        x = table()(i)
        return [model(x), model(x, mask=i > 4), layers.GRU(1)(model(model(x)))]
    return of_ids(call)


def called_twice_on_one_tensor():
    model = looks()

    def call(i):
        x = table()(i)
        return layers.Concatenate()([model(x), layers.LSTM(2)(x), model(x, mask=i > 4)])
    return of_ids(call)


def in_lists():
    a, b = vectors(), vectors()
    model = keras.Model([a, b], layers.Add()([layers.LSTM(3)(a), layers.GRU(3)(b)]))
    i, j, k = ids(), ids(), chosen()
    x = unmasked()
    return keras.Model([i, j, k], model([x(i), x(j)], mask=[k, j > 2]))


def in_dicts():
    a, b = vectors(name="a"), vectors(3, name="b")
    model = keras.Model({"a": a, "b": b}, layers.Attention()([a, b]))
    i, j = ids(), ids(3)
    given = {"a": table()(i), "b": unmasked()(j)}
    return keras.Model([i, j], model(given, mask={"a": i > 2, "b": j > 1}))


def one_output_with_a_mask():
    i = ids()
    x = table()(i)
    model = keras.Model(i, [x, ops.tanh(x)])

    def call(j):
        p, q = model(j)
        return layers.Add()([layers.LSTM(2)(p), layers.LSTM(2)(q)])
    return of_ids(call)


def made_of_two_inside():
    i, j = ids(), ids(3)
    x = table()
    model = keras.Model([i, j], layers.Concatenate(axis=1)([x(i), x(j)]))
    k, n = ids(), ids(3)
    return keras.Model([k, n], layers.LSTM(2)(model([k, n])))


def masks_of_two_masking_layers():
    model = inner(layers.Masking(-1.0), layers.SimpleRNN(4, return_sequences=True))
    y, k = vectors(), chosen()
    return keras.Model([y, k], layers.GRU(2)(model(model(y), mask=k)))


def thrice(i):
    model = looks_and_returns_steps()
    for _ in range(3):
        model = inner(model, layers.Dense(4))
    return layers.LSTM(2)(model(table()(i)))


def looks_and_returns_steps():
    return inner(layers.Bidirectional(layers.GRU(2, return_sequences=True)))


def sequential(*stack):
    return keras.Sequential(list(stack))


MASKS = {
    "handed over": lambda: of_ids(lambda i: looks()(table()(i))),
    "an argument": lambda: with_mask(lambda i, k: looks()(unmasked()(i), mask=k)),
    "an argument for another": lambda: with_mask(lambda i, k: looks()(table()(i), mask=k)),
    "an argument that is computed": lambda: of_ids(lambda i: looks()(unmasked()(i), mask=i > 3)),
    "an argument, nobody looks": lambda: of_ids(
        lambda i: hands_on()(unmasked()(i), mask=i > 3)),
    "an argument, looked at outside": lambda: of_ids(
        lambda i: layers.LSTM(2)(hands_on()(unmasked()(i), mask=i > 3))),
    "an argument, Sequential": lambda: with_mask(lambda i, k: sequential(
        vectors(), layers.Dense(4), layers.GRU(3))(unmasked()(i), mask=k)),
    "an argument, two models deep": lambda: of_ids(lambda i: inner(
        layers.Dropout(0.1), looks(), layers.Dense(2))(unmasked()(i), mask=(i > 1))),
    "made inside": lambda: of_ids(lambda i: layers.LSTM(2)(sequential(
        keras.Input((5,), dtype=I32), table(), layers.Dense(6))(i))),
    "of Masking outside": lambda: (
        lambda y: keras.Model(y, looks()(layers.Masking()(y))))(vectors()),
    "taken off inside, and back": lambda: of_ids(lambda i: layers.LSTM(2)(
        inner(lambda x: x * 2.0)(table()(i)))),
    "taken off between": lambda: of_ids(lambda i: layers.LSTM(2)(looks_and_returns_steps()(
        layers.Conv1D(4, 1)(looks_and_returns_steps()(table()(i)))))),
    "no layer at all": lambda: of_ids(lambda i: layers.LSTM(2)(inner()(table()(i)))),
    "in all steps": lambda: of_ids(lambda i: layers.LSTM(2)(
        layers.TimeDistributed(inner_of_a_step())(table()(i)))),
    "thrice": lambda: of_ids(thrice),
    "shared, three masks": shared_with_three_masks, "one tensor": called_twice_on_one_tensor,
    "lists": in_lists, "dicts": in_dicts, "one output": one_output_with_a_mask,
    "made of two inside": made_of_two_inside, "two Masking": masks_of_two_masking_layers,
}


def inner_of_a_step():
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(3)(x))


def summed(counts):
    return {key: int(n) for key, n in counts.sum().items() if n}


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
@pytest.mark.parametrize("name", MASKS)
def test_masks_of_nested_models_are_those_that_keras_hands_over(name):
    model = MASKS[name]()
    assert summed(count(model, 2).counts) == summed(trace_ops(model, 2))


def test_a_mask_that_a_nested_model_is_called_with_is_what_its_layers_look_at():
    """Output and two states of 3 units are chosen at 5 steps; the mask itself is given."""
    given = tos.count_ops(MASKS["an argument"]()).sum()
    assert given[F, "select"] == 3 * 3 * 5
    # the test for negative indices, and the comparison with 3
    computed = tos.count_ops(MASKS["an argument that is computed"]()).sum()
    assert computed[F, "select"] == 3 * 3 * 5
    assert computed[I32, "max"] == 5 + 5
    unused = tos.count_ops(MASKS["an argument, nobody looks"]()).sum()
    assert (F, "select") not in unused
    assert unused[I32, "max"] == 5


def float_of(given, taken, *stack, into=None):
    """Return a model that calls one on a tensor of another dtype or number of axes."""
    x = taken
    for layer in stack:
        x = layer(x)
    return keras.Model(given, keras.Model(taken, x)(given if into is None else into(given)))


def twice_of_one():
    a, b = keras.Input((5,)), keras.Input((5,))
    model = keras.Model([a, b], a * b + a)
    return of_ids(lambda i: model([i, i]))


def cast_and_cast_back():
    a, b = keras.Input((5,)), ids()
    within = keras.Model([a, b], layers.Concatenate()([a, ops.cast(b, F)]))
    c, d = ids(), keras.Input((5,))
    middle = keras.Model([c, d], within([c, d]))
    e, f = keras.Input((5,)), keras.Input((5,))
    return keras.Model([e, f], middle([e, f]))


CAST = {
    "integers": lambda: float_of(ids(), keras.Input((5,)), layers.Dense(3)),
    "bool": lambda: float_of(chosen(), keras.Input((5,)), layers.Dense(3)),
    "half": lambda: float_of(keras.Input((5,), dtype="float16"), keras.Input((5,)),
                             layers.Dense(3)),
    "an axis more": lambda: float_of(keras.Input((5,)), keras.Input((5, 1)), layers.LSTM(3)),
    "an axis less": lambda: float_of(keras.Input((5, 1), dtype=I32), keras.Input((5,)),
                                     layers.Dense(3)),
    "masked": lambda: float_of(ids(), vectors(), layers.Dense(4), layers.LSTM(3),
                               into=table(dtype="float16")),
    "masked, an argument": lambda: with_mask(
        lambda i, k: looks()(table(dtype="float16")(i), mask=k)),
    "Sequential without an Input": lambda: of_ids(
        sequential(table(), layers.Dense(6), layers.LSTM(2))),
    "one tensor twice": twice_of_one, "and back": cast_and_cast_back,
}


@pytest.mark.parametrize("name", CAST)
def test_a_nested_model_makes_of_what_it_is_given_what_its_graph_takes(name):
    model = CAST[name]()
    assert summed(count(model, 2).counts) == summed(trace_ops(model, 2))


def test_a_nested_model_converts_each_of_its_inputs():
    """Five integers, once for each of the two inputs; a product and a sum of them."""
    assert summed(tos.count_ops(twice_of_one())) == {
        (I32, "convert"): 10, (F, "mul"): 5, (F, "add"): 5}
    paths = [call.path.partition("/")[2] for call in tos.layer_calls(twice_of_one())]
    assert paths[:2] == ["cast", "cast#2"]


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")
@pytest.mark.parametrize("name", ["handed over", "an argument that is computed", "lists"])
def test_training_of_nested_models_with_masks(name):
    model = MASKS[name]()
    assert summed(count(model, 2, **STEP).counts) == summed(trace_ops(model, 2, **STEP))


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
@pytest.mark.parametrize("name", ["integers", "and back"])
def test_training_of_nested_models_that_convert(name):
    model = CAST[name]()
    assert summed(count(model, 2, **STEP).counts) == summed(trace_ops(model, 2, **STEP))


def test_gradients_of_a_layer_inside_and_outside_a_nested_model_are_summed():
    """Three of 20 weights, so two sums of them."""
    shared = layers.Dense(4)
    x, y = keras.Input((4,)), keras.Input((4,))
    model = keras.Model(y, shared(keras.Model(x, shared(x))(shared(y))))
    step = count(model, 2, **STEP)
    assert step.coverage == {"rule": len(step.counts)}
    assert summed(step.counts) == summed(trace_ops(model, 2, **STEP))
    alone = [count(keras.Model(y, layers.Dense(4)(y)), 2, **STEP).counts.xs(
        "backward", level="part")]
    backward = step.counts.xs("backward", level="part")
    of_one = alone[0].drop("loss", errors="ignore").sum()[F, "add"]
    assert backward.drop("loss", errors="ignore").sum()[F, "add"] == 3 * of_one + 2 * 20


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_the_mean_of_a_row_of_one_divides_nothing(loss):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    step = count(model, 3, "training", loss=loss, optimizer="sgd")
    assert step.counts.sum()[F, "div"] == 1  # of the mean over three samples
    assert summed(step.counts) == summed(trace_ops(model, 3, **STEP | {"loss": loss}))
