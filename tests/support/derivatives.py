"""Derivatives as TensorFlow defines them, for the oracle: what a jaxpr's own would say otherwise.

A contraction has one derivative. What is no contraction has several that are equal in value and not
in ops: d(x / y) / dy is ``-x / y / y`` to TensorFlow and ``-x y^-2`` to JAX. A training step is
counted as ``fit`` runs it, on TensorFlow by its formulas. Here they stand in `jax.numpy`, each
with the function of TensorFlow's source that it is read from (tensorflow/python/ops, 2.21:
math_grad.py, nn_grad.py, nn_impl.py, nn_ops.py), so that the jaxpr of a step can be compared in all
kinds of op. Their values are tested against quotients of differences:

>>> import numpy as np
>>> from jax.test_util import check_grads
>>> from keras.src.backend.jax import core, nn, numpy, random
>>> import jaxpr
>>> install()
>>> x = np.array([[-2.1, -0.4, 0.3], [1.2, 0.7, 2.5]], "float32")
>>> for function in (
...         lambda x: x / (2 + x[::-1]), lambda x: lax.rsqrt(x * x + 1), jnp.tanh, jnp.expm1,
...         lambda x: jnp.reciprocal(x * x + 1),
...         lambda x: jnp.log(x * x + 1), lambda x: jnp.log1p(x * x), jnp.abs,
...         lambda x: jnp.maximum(x, 0.5), lambda x: jnp.minimum(x, x[::-1]),
...         lambda x: jnp.max(x, 1), lambda x: jnp.min(x, 0), lambda x: jnp.mean(x, -1) ** 2,
...         lambda x: jnp.var(x, 0), lambda x: jnp.std(x, 1, keepdims=True),
...         lambda x: nn.moments(x, (0, 1))[1], lambda x: nn.moments(x, [1], True)[0] ** 2,
...         nn.softmax, lambda x: nn.softmax(x, 0), nn.log_softmax, nn.silu, nn.softplus,
...         nn.leaky_relu, lambda x: lax.top_k(x, 2)[0],
...         lambda x: jnp.roll(x, (1, 2), (0, 1)) * x, lambda x: core.unstack(x, axis=1)[2],
...         lambda x: random.dropout(x, 0.5, seed=jax.random.key(1)),
...         lambda x: jax.image.resize(x.reshape(1, 2, 3, 1), (1, 4, 6, 1), "bilinear", False),
...         lambda x: jax.image.scale_and_translate(
...             x, (4, 6), (0, 1), jnp.array([3.0, 2.5]), jnp.array([-1.0, -0.75]), "bilinear",
...             antialias=False),
...         lambda x: numpy.einsum("btd,dh->bth", x.reshape(1, 2, 3), x.T) ** 2,
...         lambda x: jnp.fft.fft2(lax.complex(x, x * x)).real,
...         lambda x: jnp.fft.ifft2(lax.complex(x, x * x)).imag):
...     check_grads(function, (x,), 1, ["rev"], 0.02, 0.02)

A mean's gradient is divided for each value; two inputs may both be the largest of a row, and share:

>>> row = jax.ShapeDtypeStruct((1, 4), "float32")
>>> dict(jaxpr.count(jax.grad(lambda x: jnp.mean(jnp.tanh(x))), row))
{('float32', 'tanh'): 4, ('float32', 'mul'): 8, ('float32', 'add'): 4}
>>> jax.grad(lambda x: jnp.max(x))(jnp.array([1.0, 3.0, 3.0])).tolist()
[0.0, 0.5, 0.5]

A transform of 8 is 3 x 4 pairs, 4 products and 6 sums each; its gradient is the inverse, which
divides 8 numbers of two parts, times a complex 8. A gradient goes to the four values of an
interpolation, in 6 products and 4 sums, wherever it begins:

>>> _, back = jax.vjp(lambda x: jnp.fft.fft2(lax.complex(x, x)).real, jnp.ones((2, 4)))
>>> row = jax.ShapeDtypeStruct((2, 4), "float32")
>>> counts = jaxpr.count(back, row)
>>> counts["float32", "mul"] - (48 + 2 * 8 + 4 * 8), counts["float32", "add"] - (72 + 2 * 8 + 8)
(0, 0)
>>> def translated(x, scale):
...     return jax.image.scale_and_translate(x, (4, 6), (0, 1), scale, 0 * scale, "bilinear",
...                                          antialias=False)
>>> _, back = jax.vjp(lambda x: translated(x, jnp.array([2.0, 1.5])), jnp.ones((2, 4)))
>>> sorted(jaxpr.count(lambda g: back(g), jax.ShapeDtypeStruct((4, 6), "float32")).items())
[(('float32', 'add'), 96), (('float32', 'mul'), 144)]

A matrix that 5 of a batch share: a product of each, then 4 sums of its 3 x 4 values:

>>> x, matrix, g = (jax.ShapeDtypeStruct(s, "float32") for s in ((5, 2, 3), (3, 4), (5, 2, 4)))
>>> def of_matrix(x, matrix, g):
...     return jax.vjp(lambda m: numpy.einsum("btd,dh->bth", x, m), matrix)[1](g)
>>> sorted(jaxpr.count(of_matrix, x, matrix, g).items())
[(('float32', 'add'), 48), (('float32', 'mac'), 120)]

What a variable is written from gets no gradient by way of it:

>>> import keras
>>> mean = keras.Variable([1.0])
>>> def assigned(x):
...     with keras.StatelessScope([(mean, mean.value)]):
...         mean.assign(3 * x)
...         return (mean.value * x)[0]
>>> jax.grad(assigned)(jnp.array([2.0])).tolist()  # 3 x alone: not 6 x
[6.0]
"""

import math
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import jax
from jax import lax
from jax import numpy as jnp
from jax.interpreters import ad


def install():
    """Have JAX, and Keras on JAX, differentiate by TensorFlow's formulas from here on."""
    ad.defjvp(lax.div_p, lambda g, x, y: g / y,
              lambda g, x, y: g * (-x / y / y))                             # _RealDivGrad
    ad.defjvp2(lax.rsqrt_p, lambda g, y, x, **_: g * (-0.5 * (y * y * y)))  # _RsqrtGrad
    ad.defjvp2(lax.tanh_p, lambda g, y, x, **_: g * (1 - y * y))            # _TanhGrad
    ad.defjvp(lax.log_p, lambda g, x, **_: g * (1 / x))                     # _LogGrad
    ad.defjvp(lax.log1p_p, lambda g, x, **_: g * (1 / (1 + x)))             # _Log1pGrad
    ad.defjvp(lax.expm1_p, lambda g, x, **_: g * jnp.exp(x))                # _Expm1Grad
    ad.defjvp(lax.abs_p, lambda g, x: g * jnp.sign(x))                      # _AbsGrad
    ad.defjvp2(lax.reduce_max_p, _extreme)                                  # _MinOrMaxGrad
    ad.defjvp2(lax.reduce_min_p, _extreme)
    ad.primitive_jvps[lax.max_p] = partial(_chosen, lax.max_p, lax.ge)      # _MaximumGrad
    ad.primitive_jvps[lax.min_p] = partial(_chosen, lax.min_p, lax.le)      # _MinimumGrad
    _reductions()
    _activations()
    _draws()
    _resize()
    _places()
    _transforms()
    _assignments()
    _shared_matrices()
    _loops()


def _chosen(primitive, chooses, primals, tangents):
    """The gradient goes to the first operand where it is chosen, else to the second."""
    x, y = primals
    mask, parts = chooses(x, y), []
    for tangent, first in zip(tangents, (True, False), strict=True):
        if not isinstance(tangent, ad.Zero):
            either = tangent, jnp.zeros_like(tangent)
            parts.append(lax.select(mask, *(either if first else either[::-1])))
    return primitive.bind(x, y), sum(parts[1:], parts[0])


def _extreme(g, ans, x, *, axes, **_):
    """The gradient goes in equal shares to all values that are the largest, or the smallest."""
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    chosen = (x == ans.reshape(kept)).astype(g.dtype)
    return jnp.sum(g * (chosen / jnp.sum(chosen, axes).reshape(kept)), axes)


def _with(gradient, function):
    """Return a function of x whose gradient is that function of (x, result, g)."""
    from keras.src.backend.jax import core

    derived = jax.custom_vjp(function)

    def forward(x):
        y = function(x)
        return y, (x, y)

    derived.defvjp(forward, lambda xy, g: (gradient(*xy, g),))
    return lambda x: derived(core.convert_to_tensor(x))


def _reductions():
    from keras.src.backend.jax import nn

    mean = jnp.mean

    def mean_of(x, axis=None, dtype=None, keepdims=False, **kwargs):
        if not jnp.issubdtype(x.dtype, jnp.floating) or kwargs or not x.size:
            return mean(x, axis, dtype, keepdims=keepdims, **kwargs)
        axes = range(x.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
        axes = tuple(a % x.ndim for a in axes)

        def gradient(x, y, g):  # _MeanGrad: divided once for each value
            kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
            return jnp.broadcast_to(g.reshape(kept), x.shape) / (x.size // g.size)

        return _with(gradient, lambda x: mean(x, axes, dtype, keepdims=keepdims))(x)

    squared_difference = jax.custom_vjp(lambda x, average: jnp.square(x - average))
    squared_difference.defvjp(lambda *both: (squared_difference(*both), both),
                              lambda both, g: (2.0 * g * (both[0] - both[1]), None))

    def variance(x, average, axis, keepdims):  # nn_impl.moments: no gradient by the mean
        return mean_of(squared_difference(x, average), axis, keepdims=keepdims)

    def moments(x, axes, keepdims=False, synchronized=False):
        average = mean_of(x, axes, keepdims=True)
        both = average, variance(x, average, axes, True)
        return both if keepdims else tuple(jnp.squeeze(each, axes) for each in both)

    def var(x, axis=None, dtype=None, keepdims=False):  # math_ops.reduce_variance
        return mean_of(jnp.square(x - mean_of(x, axis, keepdims=True)), axis, keepdims=keepdims)

    def std(x, axis=None, keepdims=False):
        return jnp.sqrt(var(x, axis, keepdims=keepdims))

    nn.moments, jnp.mean, jnp.var, jnp.std = moments, mean_of, var, std


def _activations():
    from jax._src.nn import functions
    from keras.src.backend.jax import nn

    def on_rows(function, gradient):
        def derived(x, axis=-1, where=None, **kwargs):
            if where is not None or kwargs:
                return function(x, axis, where, **kwargs)
            return _with(partial(gradient, axis=axis), lambda x: function(x, axis))(x)
        return derived

    def softmax(x, y, g, axis):  # _SoftmaxGrad
        return (g - jnp.sum(g * y, axis, keepdims=True)) * y

    def log_softmax(x, y, g, axis):  # _LogSoftmaxGrad
        return g - jnp.sum(g, axis, keepdims=True) * jnp.exp(y)

    def silu(x, y, g):  # swish_impl, which keeps no sigmoid
        s = jax.nn.sigmoid(x)
        return g * (s * (1.0 + x * (1.0 - s)))

    def leaky_relu(x, negative_slope=0.2):  # LeakyReluGrad
        return _with(lambda x, y, g: jnp.where(x > 0, g, negative_slope * g),
                     lambda x: jnp.maximum(x, negative_slope * x))(x)

    soft = on_rows(functions.softmax, softmax), on_rows(functions.log_softmax, log_softmax)
    for module in (jax.nn, functions):
        module.softmax, module.log_softmax = soft
    nn.silu = _with(silu, lambda x: x * jax.nn.sigmoid(x))
    nn.softplus = _with(lambda x, y, g: g * jax.nn.sigmoid(x),  # SoftplusGrad
                        lambda x: jnp.log1p(jnp.exp(x)))
    nn.leaky_relu = leaky_relu
    jnp.reciprocal = _with(lambda x, y, g: -g * (y * y), lambda x: 1 / x)  # ReciprocalGrad


def _draws():
    from keras.src.backend.jax import random

    def dropout(inputs, rate, noise_shape=None, seed=None):  # _dropout: times 1 / (1 - rate)
        if rate in (0.0, 1.0):
            return inputs if rate == 0.0 else jnp.zeros_like(inputs)
        shape = random._get_concrete_noise_shape(inputs, noise_shape)
        kept = jax.random.uniform(random.jax_draw_seed(seed), shape, inputs.dtype) >= rate
        return jnp.where(kept, inputs * (1 / (1 - rate)), jnp.zeros_like(inputs))

    random.dropout = dropout


def _resize():
    resize, translate = jax.image.resize, jax.image.scale_and_translate

    def interpolated(plain, image, method, antialias):
        """ResizeBilinearGrad: what a gradient gives to the four values of its interpolation."""
        if getattr(method, "name", method).lower() not in ("linear", "bilinear") or antialias:
            return plain(image)

        def shared_bilinearly(g):
            return jax.vjp(plain, jnp.zeros(image.shape, g.dtype))[1](g)[0]

        return _with(lambda x, y, g: jax.jit(shared_bilinearly)(g), plain)(image)

    def resized(image, shape, method, antialias=True, **kwargs):
        return interpolated(lambda image: resize(
            image, shape, method, antialias=antialias, **kwargs), image, method, antialias)

    def translated(image, shape, spatial_dims, scale, translation, method, antialias=True, **kw):
        return interpolated(lambda image: translate(
            image, shape, spatial_dims, scale, translation, method, antialias=antialias, **kw),
            image, method, antialias)

    jax.image.resize, jax.image.scale_and_translate = resized, translated


def _places():
    from keras.src.backend.jax import core

    top_k, roll, unstack = lax.top_k, jnp.roll, core.unstack

    def top_k_grad(x, y, g):  # _TopKGrad: to the places of rows laid end to end
        places = y[1].reshape(-1, y[1].shape[-1])
        places = places + jnp.arange(0, x.size, x.shape[-1], dtype=places.dtype)[:, None]
        return jnp.zeros(x.size, x.dtype).at[places.reshape(-1)].add(
            g[0].reshape(-1), wrap_negative_indices=False).reshape(x.shape)

    def rolled(x, shift, axis=None):  # _RollGrad
        back = jax.tree.map(lambda n: -n, shift)
        return _with(lambda x, y, g: roll(g, back, axis), lambda x: roll(x, shift, axis))(x)

    def unstacked(x, num=None, axis=0):  # _UnpackGrad
        return _with(lambda x, y, g: jnp.stack(g, axis), lambda x: unstack(x, num, axis))(x)

    lax.top_k = lambda x, k: _with(top_k_grad, lambda x: tuple(top_k(x, k)))(x)
    jnp.roll, core.unstack = rolled, unstacked


def _transforms():
    transposed = ad.primitive_transposes[lax.fft_p]
    inverses = {lax.FftType.FFT: lax.FftType.IFFT, lax.FftType.IFFT: lax.FftType.FFT}

    def gradient(g, *operands, fft_type, fft_lengths):
        """_fft2d_grad: the inverse times the size; _ifft2d_grad: the transform divided by it.

        A cotangent of JAX's is the conjugate of a gradient of TensorFlow's, so that the inverse is
        read backwards from its first value.
        """
        if fft_type not in inverses:
            return transposed(g, *operands, fft_type=fft_type, fft_lengths=fft_lengths)
        x = lax.fft(g, inverses[fft_type], fft_lengths)
        for axis in range(x.ndim - len(fft_lengths), x.ndim):
            first = lax.slice_in_dim(x, 0, 1, axis=axis)
            others = lax.slice_in_dim(x, 1, x.shape[axis], axis=axis)
            x = lax.concatenate([first, lax.rev(others, [axis])], axis)
        size = math.prod(fft_lengths)
        return x * jnp.asarray(size if fft_type == lax.FftType.FFT else 1 / size, x.dtype),

    ad.deflinear2(lax.fft_p, gradient)


def _assignments():
    """What is written into a variable, as a moving mean is, carries no gradient to who reads it."""
    from keras.src.backend.common.variables import Variable

    assign = Variable.assign

    def assigned(self, value):
        return assign(self, jax.tree.map(lax.stop_gradient, value))

    Variable.assign = assigned


def _shared_matrices():
    """A matrix that all of a batch share has a gradient from each, and then their sum.

    So does BatchMatMulV2 (_BatchMatMulV2), by which Keras on TensorFlow computes these.
    """
    from keras.src.backend.jax import core, numpy
    from keras.src.backend.tensorflow.numpy import _normalize_einsum_subscripts as normal

    shared = {"abc,cd->abd", "abc,dc->abd", "abc,cde->abde", "abc,dce->abde", "abc,dec->abde",
              "abcd,cde->abe", "abcd,ced->abe", "abcd,ecd->abe"}
    einsum = numpy.einsum

    def contracted(subscripts, *operands, **kwargs):
        equation = normal(subscripts)
        if equation not in shared or kwargs:
            return einsum(subscripts, *operands, **kwargs)
        x, matrix, result = equation.replace("->", ",").split(",")
        derived = jax.custom_vjp(lambda *both: einsum(equation, *both))
        derived.defvjp(lambda *both: (derived(*both), both), lambda both, g: (
            einsum(f"{result},{matrix}->{x}", g, both[1]),
            jnp.sum(einsum(f"{x},{result}->a{matrix}", both[0], g), 0)))
        return derived(*map(core.convert_to_tensor, operands))

    numpy.einsum = contracted


def _loops():
    """RWKV7 has code of its own for TensorFlow, in which its steps stand one by one."""
    if not find_spec("keras_hub"):
        return
    import keras
    from keras_hub.src.models.rwkv7 import rwkv7_layer

    def steps(lower, upper, body, state):
        for i in range(lower, upper):
            state = body(i, state)
        return state

    rwkv7_layer.ops = SimpleNamespace(**vars(keras.ops) | {"fori_loop": steps})
