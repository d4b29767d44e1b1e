"""Op counts of attention layers, einsums and embeddings."""

from ..calls import product
from ..introspection import sublayers
from ..layer_state import argument, weight_shape
from .activations import name_of, ops, softmax
from .layers import NoRule, fused_activation


def einsum_dense(call):
    """outputs x contracted length MACs, a bias addition per output, the activation."""
    layer, out = call.layer, call.outputs[0]
    operands, result = layer.equation.replace(" ", "").split("->")
    kernel = operands.split(",")[1]
    contracted = product(
        size for letter, size in zip(kernel, layer.kernel.shape, strict=True)
        if letter not in result)
    counts = ops(call.dtype, mac=out.size * contracted, add=out.size if layer.bias_axes else 0)
    return counts + fused_activation(call, layer.activation, out.shape)


def einsum_dense_fits(call):
    """Each letter of the equation is as long in the input as in the kernel."""
    of_input, kernel = call.layer.equation.replace(" ", "").split("->")[0].split(",")
    shape = call.inputs[0].shape
    if "." in of_input:
        before, after = of_input.split("...")
        of_input, shape = before + after, (*shape[:len(before)], *shape[len(shape) - len(after):])
    if len(of_input) != len(shape) or len(kernel) != len(call.layer.kernel.shape):
        return False
    sizes = dict(zip(of_input, shape, strict=True))
    return all(sizes.get(letter, size) == size for letter, size in zip(
        kernel, call.layer.kernel.shape, strict=True))


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


def multi_head_attention(call):
    """Vaswani et al. 2017, eq. 1 and section 3.2.2: projections, scores, softmax, mixture."""
    layer = call.layer
    return _by_heads(call, layer.num_heads, layer.num_heads, layer.key_dim,
                     layer.value_dim or layer.key_dim)


def multi_head_attention_fits(call):
    """Heads, widths and biases are those of the projections."""
    layer = call.layer
    query, value = layer.query_dense, layer.value_dense
    return (weight_shape(query, "kernel")[-2:], weight_shape(value, "kernel")[-2:]) == (
        (layer.num_heads, layer.key_dim), (layer.num_heads, layer.value_dim or layer.key_dim)
    ) and (weight_shape(query, "bias") is not None) == bool(layer.use_bias)


def group_query_attention(call):
    """Ainslie et al. 2023: fewer key and value heads, each shared by a group of query heads."""
    layer = call.layer
    return _by_heads(call, layer.num_query_heads, layer.num_key_value_heads, layer.head_dim,
                     layer.head_dim)


def _by_heads(call, heads, key_heads, key_dim, value_dim):
    """The dense projections of query, key, value and output, with their biases; then the heads."""
    layer = call.layer
    heads, key_heads, key_dim, value_dim = map(int, (heads, key_heads, key_dim, value_dim))
    _need_rows_of_vectors(call)
    if any(name_of(x.activation) != "linear" for kind, x in sublayers(layer)
           if kind == "EinsumDense"):
        raise NoRule(f"{call.path!r} ({call.kind}): a projection with an activation")
    axes = argument(layer, "attention_axes") if call.kind == "MultiHeadAttention" else None
    if axes is not None and tuple(axes) != (1,):
        raise NoRule(f"{call.path!r} ({call.kind}): attention over other axes")
    query, value = call.inputs[:2]
    key = call.inputs[2] if len(call.inputs) > 2 else value
    (batch, queries), keys, out = query.shape[:2], value.shape[1], call.outputs[0].size
    q = batch * queries * heads * key_dim
    k = batch * keys * key_heads * key_dim
    v = batch * keys * key_heads * value_dim
    macs = (q * query.shape[-1] + k * key.shape[-1] + v * value.shape[-1] + out * heads * value_dim)
    masked = call.kwargs.get("use_causal_mask")  # known from the shapes: a choice per score
    return (ops(call.dtype, mac=macs, add=(q + k + v + out) if argument(layer, "use_bias") else 0,
                select=batch * queries * heads * keys if masked else 0)
            + _attend(call, heads, key_dim, value_dim, scale=key_dim != 1))


def _attend(call, heads, key_dim, value_dim, scale):
    """softmax(q k' / sqrt(d)) v: the contractions, and the softmax over the keys."""
    keys = call.inputs[1].shape[1]
    scores = product(call.inputs[0].shape[:2]) * heads * keys
    return (ops(call.dtype, mac=scores * (key_dim + value_dim), mul=scores if scale else 0)
            + softmax(call.dtype, scores, keys))


def _need_rows_of_vectors(call):
    """Raise NoRule where an input is no batch of rows of vectors, over which attention mixes."""
    if any(len(t.shape) != 3 for t in call.inputs):
        raise NoRule(f"{call.path!r} ({call.kind}): attention over several axes")


def dot_attention(call):
    """keras.layers.Attention: scores by dot product, or by tanh(q + k) with ``concat``."""
    _need_rows_of_vectors(call)
    query, value = call.inputs[:2]
    if call.layer.score_mode == "concat":
        counts, scores = _attend_by_sum(call)
        return counts + ops(call.dtype, mul=scores)
    return _attend(call, 1, query.shape[-1], value.shape[-1], scale=call.layer.use_scale)


def additive_attention(call):
    """Bahdanau et al. 2015: scores are sum(scale tanh(q + k))."""
    _need_rows_of_vectors(call)
    return _attend_by_sum(call)[0]


def _attend_by_sum(call):
    """Return the counts of softmax(sum(scale tanh(q + k))) v, and how many scores there are."""
    query, value = call.inputs[:2]
    keys = value.shape[1]
    scores, n = product(query.shape[:2]) * keys, query.size * keys
    return (ops(call.dtype, add=2 * n - scores, tanh=n, mul=n if call.layer.use_scale else 0,
                mac=scores * value.shape[-1]) + softmax(call.dtype, scores, keys)), scores
