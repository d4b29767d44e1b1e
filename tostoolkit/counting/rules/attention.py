"""Op counts of attention layers, einsums and embeddings."""

from collections import Counter
from math import prod

from ..introspection import sublayers
from .activations import elementwise, name_of, ops, softmax
from .layers import NoRule, fused_activation


def einsum_dense(call):
    """outputs x contracted length MACs, a bias addition per output, the activation."""
    layer, out = call.layer, call.outputs[0]
    operands, result = layer.equation.replace(" ", "").split("->")
    kernel = operands.split(",")[1]
    contracted = prod(
        size for letter, size in zip(kernel, layer.kernel.shape, strict=True)
        if letter not in result)
    counts = ops(call.dtype, mac=out.size * contracted, add=out.size if layer.bias_axes else 0)
    return counts + fused_activation(call, layer.activation, out.shape)


def embedding(call):
    """A look-up; per index the test, addition and choice that make negative indices wrap."""
    n, dtype = call.inputs[0].size, call.inputs[0].dtype
    dtype = dtype if dtype.startswith("int") else "int32"
    return ops(dtype, max=n, add=n, select=n)


def reversible_embedding(call):
    """A look-up; or, backwards, the product of each vector with every row of the table."""
    if not call.kwargs.get("reverse"):
        return embedding(call)
    counts = ops(call.dtype, mac=call.outputs[0].size * call.inputs[0].shape[-1])
    if call.layer.logit_soft_cap is not None:  # c tanh(x / c)
        n = call.outputs[0].size
        counts += ops(call.dtype, div=n, tanh=n, mul=n)
    return counts


def _attend(dtype, batch, heads, queries, keys, key_dim, value_dim, scale=True):
    """softmax(q k' / sqrt(d)) v: the contractions and the softmax over the keys."""
    scores = batch * heads * queries * keys
    return (
        ops(dtype, mac=scores * (key_dim + value_dim), mul=scores if scale else 0)
        + softmax(dtype, scores, keys))


def _mask(call, batch, heads, queries, keys):
    """A causal mask, known from the shapes: a choice per score."""
    if not call.kwargs.get("use_causal_mask"):
        return Counter()
    scores = batch * heads * queries * keys
    return ops(call.dtype, select=scores)


def _projections(call, batch, queries, keys, query_heads, key_heads, head_dim, value_dim):
    """The dense projections of query, key, value and output, with their biases."""
    layer = call.layer
    if any(name_of(x.activation) != "linear" for kind, x in sublayers(layer)
           if kind == "EinsumDense"):
        raise NoRule(f"{call.path!r} ({call.kind}): a projection with an activation")
    query, value = call.inputs[0], call.inputs[1]
    key = call.inputs[2] if len(call.inputs) > 2 else value
    out = call.outputs[0].size
    q = batch * queries * query_heads * head_dim
    k = batch * keys * key_heads * head_dim
    v = batch * keys * key_heads * value_dim
    macs = (q * query.shape[-1] + k * key.shape[-1] + v * value.shape[-1]
            + out * query_heads * value_dim)
    bias = layer.get_config()["use_bias"]
    return ops(call.dtype, mac=macs, add=(q + k + v + out) if bias else 0)


def multi_head_attention(call):
    """Vaswani et al. 2017, eq. 1 and section 3.2.2: projections, scores, softmax, mixture."""
    layer = call.layer
    batch, queries = call.inputs[0].shape[:2]
    keys = call.inputs[1].shape[1]
    heads, key_dim = layer.num_heads, layer.key_dim
    value_dim = layer.value_dim or key_dim
    return (
        _projections(call, batch, queries, keys, heads, heads, key_dim, value_dim)
        + _attend(call.dtype, batch, heads, queries, keys, key_dim, value_dim, key_dim != 1)
        + _mask(call, batch, heads, queries, keys))


def group_query_attention(call):
    """Ainslie et al. 2023: fewer key and value heads, each shared by a group of query heads."""
    layer = call.layer
    batch, queries = call.inputs[0].shape[:2]
    keys = call.inputs[1].shape[1]
    heads, groups, dim = layer.num_query_heads, layer.num_key_value_heads, layer.head_dim
    return (
        _projections(call, batch, queries, keys, heads, groups, dim, dim)
        + _attend(call.dtype, batch, heads, queries, keys, dim, dim, dim != 1)
        + _mask(call, batch, heads, queries, keys))


def dot_attention(call):
    """keras.layers.Attention: scores by dot product, or by tanh(q + k) with ``concat``."""
    query, value = call.inputs[0], call.inputs[1]
    batch, queries, dim = query.shape
    keys = value.shape[1]
    scores = batch * queries * keys
    if call.layer.score_mode == "concat":
        return _concat_scores(call, scores, dim, scaled=call.layer.use_scale) + ops(
            call.dtype, mul=scores, mac=scores * value.shape[-1]) + softmax(
            call.dtype, scores, keys)
    return _attend(call.dtype, batch, 1, queries, keys, dim, value.shape[-1],
                   scale=call.layer.use_scale) + _mask(call, batch, 1, queries, keys)


def additive_attention(call):
    """Bahdanau et al. 2015: scores are sum(scale tanh(q + k))."""
    query, value = call.inputs[0], call.inputs[1]
    batch, queries, dim = query.shape
    keys = value.shape[1]
    scores = batch * queries * keys
    return (
        _concat_scores(call, scores, dim, scaled=call.layer.use_scale)
        + ops(call.dtype, mac=scores * value.shape[-1]) + softmax(call.dtype, scores, keys)
        + _mask(call, batch, 1, queries, keys))


def _concat_scores(call, scores, dim, scaled):
    n = scores * dim
    return elementwise(call.dtype, n, {"add": 1, "tanh": 1, "mul": int(scaled)}) + ops(
        call.dtype, add=n - scores)
