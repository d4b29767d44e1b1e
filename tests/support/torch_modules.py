"""Modules of PyTorch's of many kinds and their closed forms, for a process of its own.

``python torch_modules.py`` prints, as JSON, name -> [what is counted, what is right].
"""

import json
from types import SimpleNamespace

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import tostoolkit as tos


def tensor(*shape, dtype="float32"):
    return SimpleNamespace(shape=shape, dtype=dtype)


def total(module, *arguments):
    table = tos.count_ops(module, input_shape=list(arguments)).sum()
    return {f"{dtype} {op}": int(n) for (dtype, op), n in table.items() if n}


class Calls(nn.Module):
    """Calls a function of tensors; of its modules and of tensors, where it has some."""

    def __init__(self, function, *modules):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)

    def forward(self, *tensors):
        return self.function(*self.parts, *tensors)


def of(function, *arguments, modules=()):
    return total(Calls(function, *modules), *arguments)


def ops(dtype="float32", **counts):
    return {f"{dtype} {op}": n for op, n in counts.items() if n}


def softmax(n, length):
    rows = n // length
    return {"add": n + n - rows, "exp": n, "div": n, "max": n - rows}


def plus(*counts):
    return {op: sum(c.get(op, 0) for c in counts) for c in counts for op in c}


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, gradient):
        x, = ctx.saved_tensors
        return 3 * x * x * gradient


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(12.0).reshape(3, 4))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls += 1
        return x + self.table.sin()


def cast(linear, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return linear(x)


def filtered(x, w):
    return torch.fft.irfft(torch.fft.rfft(x) * w, n=8)


def lower(x):
    return x.masked_fill(torch.ones(4, 4).tril() == 0, float("-inf")).softmax(-1)


def weighted_bag(bag, indices, weights):
    return bag(indices, per_sample_weights=weights)


def attended(attention, q, k):
    return attention(q, k, k, need_weights=False)[0]


C64 = "complex64"


def cases():
    """Yield (name, what is counted, what is right)."""
    # inputs x taps x filters of a group, and a bias a result: (5 - 1) 2 + 3 + 1 = 12 long
    yield "transposed, grouped", total(
        nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2, output_padding=1), tensor(2, 4, 5)), ops(
            mac=2 * 4 * 5 * 3 * 3, add=2 * 6 * 12)
    yield "transposed in space", total(
        nn.ConvTranspose3d(2, 3, 2, bias=False), tensor(1, 2, 3, 3, 3)), ops(mac=2 * 27 * 8 * 3)
    yield "grouped, dilated, padded", total(
        nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4), tensor(2, 4, 6, 6)), ops(
            mac=2 * 8 * 36 * 9, add=2 * 8 * 36)
    yield "padded by reflection", total(
        nn.Conv2d(2, 3, 3, padding="same", padding_mode="reflect", bias=False),
        tensor(1, 2, 5, 5)), ops(mac=3 * 25 * 9 * 2)
    n, groups, scales = 2 * 6 * 16, 2 * 3, 2 * 6  # s and beta - mean s of each channel of a sample
    yield "GroupNorm", total(nn.GroupNorm(3, 6), tensor(2, 6, 4, 4)), ops(
        add=2 * (n - groups) + n + groups + n + scales, div=2 * groups, rsqrt=groups, neg=groups,
        mul=2 * n + 2 * scales)
    n, rows = 80, 10
    yield "LayerNorm, nothing learnt", total(
        nn.LayerNorm(8, elementwise_affine=False), tensor(2, 5, 8)), ops(
            add=2 * (n - rows) + 2 * n + rows, div=2 * rows, rsqrt=rows, neg=rows, mul=2 * n + rows)
    # x x, their mean, + epsilon; x times the root, times gamma
    yield "RMSNorm", total(nn.RMSNorm(8), tensor(2, 5, 8)), ops(
        mul=3 * n, add=n - rows + rows, div=rows, rsqrt=rows)
    q, k, scores = 2 * 5 * 8, 2 * 7 * 8, 2 * 2 * 5 * 7  # projections of q, k, v and the result
    yield "MultiheadAttention, crossed", of(
        attended, tensor(2, 5, 8), tensor(2, 7, 8),
        modules=[nn.MultiheadAttention(8, 2, batch_first=True)]), ops(**plus(
            {"mac": 8 * (2 * q + 2 * k) + scores * 8, "add": 2 * q + 2 * k, "mul": scores},
            softmax(scores, 7)))
    # queries are scaled, not scores; the mean of two heads' weights is returned
    yield "MultiheadAttention with its weights", of(
        lambda attention, q, k: attention(q, k, k), tensor(2, 5, 8), tensor(2, 7, 8),
        modules=[nn.MultiheadAttention(8, 2, batch_first=True)]), ops(**plus(
            {"mac": 8 * (2 * q + 2 * k) + scores * 8, "add": 2 * q + 2 * k + scores // 2, "mul": q,
             "div": scores // 2}, softmax(scores, 7)))
    steps, h = 5, 2 * 4
    yield "LSTM with a projection", total(nn.LSTM(3, 4, proj_size=2), tensor(steps, 2, 3)), ops(
        mac=steps * (4 * h * (3 + 2) + 2 * 2 * 4), add=steps * (4 * h * 3 + h), mul=steps * 3 * h,
        sigmoid=steps * 3 * h, tanh=steps * 2 * h)
    yield "GRU, two ways, two layers", total(
        nn.GRU(3, 4, 2, bidirectional=True), tensor(steps, 2, 3)), ops(
            mac=2 * steps * 3 * h * (3 + 4) + 2 * steps * 3 * h * (8 + 4),
            add=4 * steps * (3 * h * 3 + 2 * h), mul=4 * steps * 2 * h,
            sigmoid=4 * steps * 2 * h, tanh=4 * steps * h)
    bag = tensor(4, 5, dtype="int64")  # 4 bags of 5 rows of 3
    for mode, right in {"sum": {"add": 48}, "mean": {"add": 48, "div": 12},
                        "max": {"max": 48}}.items():
        yield f"EmbeddingBag, {mode}", total(nn.EmbeddingBag(10, 3, mode=mode), bag), ops(**right)
    yield "EmbeddingBag, weighted", of(
        weighted_bag, bag, tensor(4, 5), modules=[nn.EmbeddingBag(10, 3, mode="sum")]), ops(
            add=48, mul=60)
    image = tensor(1, 2, 4, 4)
    for mode, right in {"nearest": {}, "bilinear": {"add": 6 * 70, "mul": 3 * 70},
                        "bicubic": {"add": 15 * 70, "mul": 20 * 70}}.items():
        yield f"interpolate, {mode}", of(
            lambda x, mode=mode: F.interpolate(x, (7, 5), mode=mode), image), ops(**right)
    yield "interpolate, area", of(lambda x: F.interpolate(x, (2, 2), mode="area"), image), ops(
        add=8 * 3, div=8)
    # kernels of 4 pixels at 1 and 3 reach over 3 each: along 4 rows, then along 2 columns
    yield "interpolate, antialiased", of(
        lambda x: F.interpolate(x, (2, 2), mode="bilinear", antialias=True), image), ops(
            mac=2 * (6 * 4 + 6 * 2))
    scores = 2 * 3 * 5 * 7
    heads = [tensor(2, 3, 5, 4), tensor(2, 3, 7, 4), tensor(2, 3, 7, 4)]
    whole = plus({"mac": scores * 8, "mul": scores, "add": scores}, softmax(scores, 7))
    yield "attention, masked", of(
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask),
        *heads, tensor(5, 7)), ops(**whole)
    # which weights are left out is put into numbers first, 5 x 7
    yield "attention, masked by truths", of(
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, attn_mask=mask),
        *heads, tensor(5, 7, dtype="bool")), ops(**plus(whole, {"select": 35}))
    yield "attention, causal, not scaled", of(
        lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True, scale=1.0),
        heads[0]), ops(**plus({"mac": 150 * 8, "add": 150}, softmax(150, 5)))
    yield "attention in groups", of(
        lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
        tensor(2, 4, 5, 4), tensor(2, 2, 7, 4)), ops(
            **plus({"mac": 280 * 8, "mul": 280}, softmax(280, 7)))
    yield "a function with a gradient of its own", of(Cube.apply, tensor(4)), ops(mul=8)
    for how in (True, False):
        yield f"checkpoint, reentrant {how}", of(
            lambda part, x, how=how: torch.utils.checkpoint.checkpoint(part, x, use_reentrant=how),
            tensor(2, 4), modules=[nn.Linear(4, 4)]), ops(mac=32, add=8)
    # norms of 3 rows of 4, g / norm, v times it; then the layer
    norms = plus({"mac": 24, "add": 6}, {"mul": 24, "add": 9, "sqrt": 3, "div": 3})
    yield "weight_norm", total(parametrizations.weight_norm(nn.Linear(4, 3)), tensor(2, 4)), ops(
        **norms)
    # sigma = u' W v, and W / sigma
    yield "spectral_norm", total(
        parametrizations.spectral_norm(nn.Linear(4, 3)), tensor(2, 4)), ops(
            mac=24 + 12 + 3, add=6, div=12)
    yield "BatchNorm3d", total(nn.BatchNorm3d(3), tensor(2, 3, 2, 2, 2)), ops(
        add=48 + 6, mul=48 + 6, rsqrt=3)
    # of the batch: two means of 4, x - mean, its square; then x s + (beta - mean s)
    yield "BatchNorm without running moments", total(
        nn.BatchNorm1d(3, track_running_stats=False), tensor(4, 3)), ops(
            add=2 * 9 + 12 + 12 + 6, mul=12 + 12 + 6, rsqrt=3, div=6)
    yield "buffers", total(Buffered(), tensor(2, 3, 4)), ops(sin=12, add=24) | {"int64 add": 1}
    yield "softmax in another dtype", of(
        lambda x: F.softmax(x, -1, dtype=torch.float32), tensor(2, 4, dtype="bfloat16")), ops(
            **softmax(8, 4)) | {"bfloat16 convert": 8}
    yield "softmax of columns, masked", of(lower, tensor(4, 4)), ops(
        **plus({"select": 16}, softmax(16, 4)))
    yield "einsum of three", of(
        lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), tensor(2, 3), tensor(3, 4),
        tensor(4, 5)), ops(mac=24 + 40)
    yield "einsum of a diagonal", of(lambda a: torch.einsum("ii->", a), tensor(3, 3)), ops(add=2)
    # x1' W x2: of 2 samples, 5 results, 3 x 4 products and sums, then 4
    yield "Bilinear", total(nn.Bilinear(3, 4, 5), tensor(2, 3), tensor(2, 4)), ops(
        mac=2 * 5 * (3 * 4 + 4), add=10)
    # 3 rows of 8: 24 multiplications and 36 additions each way, 5 complex products, 8 / 8
    yield "a filter of frequencies", of(filtered, tensor(3, 8), tensor(5, dtype=C64)), ops(
        mul=2 * 3 * 24 + 24 + 15 * 4, add=2 * 3 * 36 + 15 * 2)
    pair = tensor(4, dtype=C64), tensor(4, dtype=C64)
    # (a conj b) / |b|^2
    yield "complex quotients", of(lambda x, y: x / y, *pair), ops(mul=24, add=12, div=8)
    yield "complex exponentials", of(torch.exp, pair[0]), ops(exp=4, sin=8, mul=8)
    yield "complex numbers by real ones", of(lambda x: x * 3.0 / 2.0, pair[0]), ops(mul=8, div=8)
    yield "complex sums", of(lambda x: x.sum() + x.cumsum(0)[-1], pair[0]), ops(add=6 + 6 + 2)
    yield "complex mean", of(lambda x: x.mean(), pair[0]), ops(add=6, div=2)
    yield "complex matrices", of(torch.matmul, tensor(2, 3, dtype=C64),
                                 tensor(3, 4, dtype=C64)), ops(mac=4 * 24)
    yield "running sum", of(lambda x: x.cumsum(-1), tensor(3, 5)), ops(add=3 * 4)
    yield "bfloat16", total(nn.Linear(4, 3).bfloat16(), tensor(2, 4, dtype="bfloat16")), ops(
        "bfloat16", mac=24, add=6)
    yield "half", total(nn.Conv1d(4, 3, 2).half(), tensor(2, 4, 5, dtype="float16")), ops(
        "float16", mac=2 * 3 * 4 * 8, add=24)
    # x, the kernel and the bias are converted
    yield "autocast", of(cast, tensor(2, 4), modules=[nn.Linear(4, 3)]), ops(
        "bfloat16", mac=24, add=6) | {"float32 convert": 8 + 12 + 3}
    yield "vmap", of(lambda x: torch.vmap(lambda row: row.tanh().sum())(x), tensor(3, 4)), ops(
        tanh=12, add=9)
    yield "normalize", of(F.normalize, tensor(2, 4)), ops(mul=8, add=6, sqrt=2, max=2, div=8)


if __name__ == "__main__":
    print(json.dumps({name: [counted, right] for name, counted, right in cases()}))
