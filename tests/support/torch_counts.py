"""What is counted on PyTorch, as JSON: for a process whose Keras runs on another backend.

Each function is one case; it returns what JSON can hold. What it raises is ``"Error: text"``.
"""

import json
import os
from collections import Counter
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "torch"

import keras
import torch
from backend_counts import flat, inference, training
from torch import nn
from torch.nn import functional as F

import tostoolkit as tos
from tostoolkit.counting.backends.torch import trace_function
from tostoolkit.counting.running_state import abstract

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def tensor(*shape, dtype="float32"):
    return SimpleNamespace(shape=shape, dtype=dtype)


def rows(module, *arguments, **named):
    """Return path -> [kind, counts] of a module's call."""
    traced = trace_function(module, named or arguments)
    return {path: [kind, flat(count.counts)] for path, (kind, count) in traced.items()}


def total(module, *arguments):
    counts = (count.counts for _, count in trace_function(module, arguments).values())
    return flat(sum(counts, Counter()))


def of(function, *arguments):
    """Return the counts of a function of tensors."""
    class Module(nn.Module):
        def forward(self, *tensors):
            return function(*tensors)

    return total(Module(), *(arguments or (tensor(4),)))


# --- modules

@case
def convolutional():
    return rows(nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10)), tensor(2, 3, 8, 8))


class Block(nn.Module):
    """The basic block of ResNet, halving the image."""

    def __init__(self, channels, filters):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.down = nn.Sequential(nn.Conv2d(channels, filters, 1, 2, bias=False))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.down(x))


@case
def residual():
    return rows(Block(4, 8), tensor(1, 4, 8, 8))


@case
def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return rows(layer, tensor(2, 5, 8))


@case
def recurrent():
    return {"lstm": total(nn.LSTM(3, 4), tensor(5, 2, 3)),
            "two_ways": total(nn.LSTM(3, 4, bidirectional=True), tensor(5, 2, 3)),
            "gru": total(nn.GRU(3, 4), tensor(5, 2, 3)),
            "rnn": total(nn.RNN(3, 4), tensor(5, 2, 3))}


@case
def shared():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.same = nn.Linear(4, 4)

        def forward(self, x):
            return self.same(self.same(x))

    return rows(Twice(), tensor(1, 4))


@case
def keywords():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Linear(3, 4)

        def forward(self, *, x, scale=1.0):
            return self.part(x) * scale

    return rows(Keyword(), x=tensor(2, 3, dtype=torch.float32), scale=3.0)


@case
def stays_as_it_is():
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2))
    module[2].eval()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    counts = total(module, tensor(3, 4))
    return [counts, all(torch.equal(t, module.state_dict()[name]) for name, t in before.items()),
            [module.training, module[0].training, module[2].training]]


@case
def decoder():
    """24 layers of width 1024 over 1024 tokens, without memory."""
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(32000, 1024)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(1024, 16, 4096, batch_first=True, norm_first=True,
                                           activation="gelu") for _ in range(24))
            self.head = nn.Linear(1024, 32000, bias=False)

        def forward(self, tokens):
            x = self.embed(tokens)
            mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
            for layer in self.layers:
                x = layer(x, src_mask=mask, is_causal=True)
            return self.head(x)

    with torch.device("meta"):
        module = Decoder()
    return total(module, tensor(1, 1024, dtype="int64"))


# --- what counts

@case
def elementwise():
    complex_product = of(lambda x: torch.view_as_real(
        torch.view_as_complex(x) * torch.polar(torch.ones(3), torch.arange(3.0))), tensor(3, 2))
    return {
        "times one": of(lambda x: x * 1.0), "plus nothing": of(lambda x: 0 + x - 0.0),
        "by ones": of(lambda x: x * torch.ones(4) + torch.zeros_like(x)),
        "square": of(lambda x: x ** 2), "cube": of(lambda x: x ** 3),
        "root": of(lambda x: x ** 0.5), "power": of(lambda x: x ** 1.7),
        "scaled sum": of(lambda x: torch.add(x, x, alpha=3)),
        "promoted": of(lambda x, i: x * i, tensor(4), tensor(4, dtype="int32")),
        "compared": of(lambda i, j: i < j, tensor(4, dtype="int8"), tensor(4, dtype="int8")),
        "chosen": of(lambda x: torch.where(x > 0, x, 0.0)),
        "gelu": of(F.gelu), "tanh gelu": of(lambda x: F.gelu(x, approximate="tanh")),
        "softmax": of(lambda x: x.softmax(-1), tensor(3, 5)),
        "floor": of(lambda x: x // 2.0), "complex": complex_product,
        "decomposed": of(F.celu)}


@case
def reach():
    def written(x):
        y = torch.zeros(2, 4)
        y[0] = torch.tanh(x)  # through a view
        return y.sin()

    def overwritten(x):
        y = torch.exp(x)
        y.copy_(torch.tanh(x))
        return y

    def of_shapes(x):
        mask = torch.arange(4)[:, None] >= torch.arange(4)
        return x.masked_fill(~mask, 0.0)

    def dead(x):
        torch.exp(x)
        return torch.tanh(x)

    return {"a view": of(written), "overwritten": of(overwritten), "dead": of(dead),
            "a mask made of shapes": of(of_shapes, tensor(4, 4)),
            "a constant": of(lambda x: x * torch.arange(4.0).exp()),
            "like": of(lambda x: x * torch.full_like(x, 2.0).exp()),
            "like what nothing needs": of(lambda x: x * torch.zeros_like(x.tanh()).exp())}


@case
def kernels():
    return {
        "transposed": total(nn.ConvTranspose2d(3, 4, 3, stride=2), tensor(2, 3, 5, 5)),
        "groups": total(nn.Conv1d(4, 6, 3, groups=2, dilation=2, bias=False), tensor(2, 4, 9)),
        "group norm": total(nn.GroupNorm(2, 4), tensor(2, 4, 5)),
        "adaptive": total(nn.AdaptiveAvgPool1d(3), tensor(1, 2, 8)),
        "bilinear": total(nn.Upsample(scale_factor=2, mode="bilinear"), tensor(1, 2, 4, 4)),
        "attention": of(lambda q, k: F.scaled_dot_product_attention(q, k, k, is_causal=True),
                        tensor(1, 2, 5, 4), tensor(1, 2, 5, 4)),
        "cross-entropy": of(F.cross_entropy, tensor(3, 5), tensor(3, dtype="int64"))}


@case
def algorithms():
    return {"fft": of(torch.fft.rfft, tensor(3, 8)),
            "inverse fft": of(lambda x: torch.fft.irfft(x, n=8), tensor(3, 5, dtype="complex64")),
            "cholesky": of(torch.linalg.cholesky, tensor(3, 3)),
            "sort": of(lambda x: x.sort().values, tensor(3, 8)),
            "running sum": of(lambda x: x.cumsum(0), tensor(3, 8)),
            "running product": of(lambda x: x.cumprod(-1), tensor(3, 8))}


@case
def random():
    return {"dropout": of(lambda x: F.dropout(x, 0.5, training=True)),
            "normal": of(lambda x: x + torch.randn(4)),
            "scaled": of(lambda x: x + torch.normal(1.0, 2.0, (4,)))}


# --- what depends on the data

@case
def branches():
    class Branch(nn.Module):
        def forward(self, x):
            return x.exp() * 2 if x[0] > 0 else x * 2

    return [total(Branch(), tensor(4)), trace_function(Branch(), (tensor(4),))["(operators)"][1][2]]


def raised(function, *arguments):
    try:
        return of(function, *arguments)
    except ValueError as error:
        return str(error)


@case
def refused():
    def until(x):
        while x.sum() > 0:
            x = x - 1
        return x

    return {"unknown": raised(torch.lgamma), "loop": raised(until),
            "value": raised(lambda x: x * float(x.sum())),
            "size": raised(lambda x: x[x > 0]),
            "code": raised(lambda x: x @ torch.ones(5))}


# --- Keras

class OfTorch(keras.layers.Layer):
    def call(self, x):
        return torch.tanh(x) * 2.0 + torch.sin(x)


def with_layer(layer):
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="a"), layer,
                             keras.layers.Dense(2, name="b")])


def parts(traced):
    return {"/".join(key): [row.method, flat(row.counts)] for key, row in traced.items()}


@case
def custom_layer():
    model = with_layer(OfTorch(name="own"))
    counted = tos.count_ops(model, batch_size=2)
    own = counted.xs("own", level="layer").iloc[0]
    return [{f"{d} {op}": int(n) for (d, op), n in own.items() if n}, parts(training(model))]


@case
def own_counters():
    def own(layer, kind):
        return (lambda call: Counter({("float32", "pow"): call.outputs[0].size})) if (
            kind == "OfTorch") else None

    model = with_layer(OfTorch(name="own"))
    return [flat(inference(model, by_user=own).counts), parts(training(model, by_user=own))]


@case
def steps():
    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)
            self.teacher = keras.Sequential(
                [keras.Input((8,)), keras.layers.Dense(64), keras.layers.Dense(4)])
            self.teacher.trainable = False

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(keras.ops.square(self.teacher(x) - y_pred))

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(4)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            for _ in range(2):
                self.zero_grad()
                keras.ops.mean(keras.ops.square(self(x, training=True) - y)).backward()
                with torch.no_grad():
                    self.optimizer.apply([v.value.grad for v in self.trainable_weights],
                                         self.trainable_weights)
            return {}

    found = {}
    for model in (Student(), Twice()):
        model(torch.zeros(1, 8))
        traced = training(model, batch_size=1, input_shape=(8,))
        counts = sum((row.counts for row in traced.values()), Counter())
        found[type(model).__name__] = [counts["float32", "mac"], parts(traced)]
    return found


@case
def optimizers():
    found = {}
    for name in ("sgd", "adam", "adamw", "adamax", "nadam", "adagrad", "adadelta", "rmsprop",
                 "ftrl", "lion", "adafactor"):
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        found[name] = flat(training(model, optimizer=name)["optimizer", "update"].counts)
    return found


@case
def scaled_loss():
    model = with_layer(keras.layers.ReLU())
    traced = training(model, optimizer=keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD()))
    row = traced["optimizer", "update"]
    return [flat(row.counts), row.notes]


@case
def model_stays_as_it_is():
    model = with_layer(keras.layers.BatchNormalization())
    model.compile("adam", "mse")
    before = [v.numpy().tolist() for v in model.variables]
    training(model, None, None)
    inference(model)
    after = [v.numpy().tolist() for v in model.variables]
    model.fit(torch.zeros(4, 8), torch.zeros(4, 2), verbose=0)
    return [before == after, model.variables[0].value.device.type]


@case
def without_memory():
    with abstract():
        model = keras.Sequential([keras.Input((10**5,)), keras.layers.Dense(10**6)])
    return {"inference": flat(inference(model, 1).counts),
            "training": sum(row.counts["float32", "mac"]
                            for row in training(model, batch_size=1).values())}


def outcome(function):
    try:
        return function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    print(json.dumps({name: outcome(function) for name, function in CASES.items()}))
