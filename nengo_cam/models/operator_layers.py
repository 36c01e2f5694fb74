"""Operators and functions of TensorFlow as the Keras layers that do the same.

``x + y`` or ``tf.nn.relu(x)`` in a functional model are layers of Keras's own (``TFOpLambda``) that carry a function.
Nothing but TensorFlow can run them. `as_layer` finds the layer that one could have used in their place.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import compat

__all__ = ["SYMBOLS", "as_layer"]

_KINDS = ("SlicingOpLambda", "TFOpLambda")
_FUNCTIONS: dict[str, Callable[..., Any]] = {}
# Functions of one tensor that have a name among Keras's activations.
_ACTIVATIONS = {
    "math.sigmoid": "sigmoid",
    "math.softplus": "softplus",
    "math.tanh": "tanh",
    "nn.elu": "elu",
    "nn.selu": "selu",
    "nn.sigmoid": "sigmoid",
    "nn.silu": "swish",
    "nn.softplus": "softplus",
    "nn.softsign": "softsign",
    "nn.tanh": "tanh",
}


def as_layer(node: Any) -> tuple[Any, Any]:
    """Find the Keras layer that does what an operator or function does.

    Parameters
    ----------
    node : keras.engine.node.Node
        Call of a layer, from `nengo_cam.compat.model_nodes`.

    Returns
    -------
    layer : tf.keras.layers.Layer or None
        A new layer with the name of the old one; None if the call is not that of an operator, or if no layer does
        exactly the same.
    inputs : symbolic tensor or list of them
        What the new layer is called with.
    """
    if type(node.layer).__name__ not in _KINDS:
        return None, None
    symbol = getattr(node.layer, "symbol", "")
    function = _FUNCTIONS.get(symbol, _nothing)
    if function is _nothing and symbol in _ACTIVATIONS:
        function = functools.partial(_activation, _ACTIVATIONS[symbol])
    try:
        inspect.signature(function).bind(*node.call_args, **node.call_kwargs)
    except TypeError:
        return None, None
    found = function(*node.call_args, **node.call_kwargs)
    if found is None:
        return None, None
    kind, options, inputs = found
    first = inputs[0] if isinstance(inputs, list) else inputs
    weights = options.pop("weights", None)
    layers = compat.import_tensorflow().keras.layers
    layer = getattr(layers, kind)(name=node.layer.name, dtype=first.dtype.name, **options)
    if weights is not None:
        layer.build(first.shape)
        layer.set_weights(weights)
    shapes = [tensor.shape for tensor in inputs] if isinstance(inputs, list) else inputs.shape
    same = node.outputs.shape.is_compatible_with(layer.compute_output_shape(shapes))
    return (layer, inputs) if same else (None, None)


def _nothing():
    """Take no arguments, so that no call fits."""


def _function(*symbols):
    """Register what becomes of functions, by their names in TensorFlow.

    It takes the arguments of the function and returns class, options and inputs of the layer, or None.
    """

    def register(function):
        _FUNCTIONS.update(dict.fromkeys(symbols, function))
        return function

    return register


def _are_symbolic(*values):
    return all(map(compat.is_symbolic, values))


def _affine(x, scale=1.0, offset=0.0):
    """Return a Rescaling, if factors and offsets are numbers, one for all channels or one for each."""
    if not compat.is_symbolic(x) or not x.dtype.is_floating:
        return None
    options = {}
    for name, value in (("scale", scale), ("offset", offset)):
        numbers = _numbers(value)
        if numbers is None or numbers.ndim > len(x.shape) or numbers.size != np.atleast_1d(numbers).shape[-1]:
            return None
        if numbers.size not in (1, x.shape[-1]):
            return None
        flat = numbers.ravel().tolist()
        options[name] = flat if len(flat) > 1 else flat[0]
    return "Rescaling", options, x


def _numbers(value):
    """Return an array of finite numbers, or None if the value is something else."""
    tf = compat.import_tensorflow()
    if any(compat.is_symbolic(leaf) for leaf in tf.nest.flatten(value)):
        return None
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError, NotImplementedError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _merge(kind, tensors):
    """Return a layer that merges tensors of one shape."""
    if len(tensors) > 1 and _are_symbolic(*tensors) and len({tuple(tensor.shape) for tensor in tensors}) == 1:
        return kind, {}, list(tensors)
    return None


@_function("__operators__.add", "math.add")
def _add(x, y, name=None):
    if _are_symbolic(x, y):
        return _merge("Add", [x, y])
    return _affine(x, offset=y) if _are_symbolic(x) else _affine(y, offset=x)


@_function("math.add_n")
def _add_n(inputs, name=None):
    return _merge("Add", inputs)


@_function("math.subtract")
def _subtract(x, y, name=None):
    if _are_symbolic(x, y):
        return _merge("Subtract", [x, y])
    return _affine(x, offset=_changed(operator.neg, y)) if _are_symbolic(x) else _affine(y, scale=-1.0, offset=x)


@_function("math.multiply")
def _multiply(x, y, name=None):
    if _are_symbolic(x, y):
        return _merge("Multiply", [x, y])
    return _affine(x, scale=y) if _are_symbolic(x) else _affine(y, scale=x)


@_function("math.divide", "math.truediv")
def _divide(x, y, name=None):
    return _affine(x, scale=_changed(np.reciprocal, y)) if _are_symbolic(x) else None


@_function("math.negative")
def _negative(x, name=None):
    return _affine(x, scale=-1.0)


@_function("nn.bias_add")
def _bias_add(value, bias, data_format=None, name=None):
    return _affine(value, offset=bias) if data_format in (None, "NHWC", "NWC", "NDHWC") else None


def _changed(function, value):
    """Apply a function to numbers; None if they are not."""
    numbers = _numbers(value)
    with np.errstate(divide="ignore"):
        return None if numbers is None else function(numbers)


@_function("nn.relu")
def _relu(features, name=None):
    return "ReLU", {}, features


@_function("nn.relu6")
def _relu6(features, name=None):
    return "ReLU", {"max_value": 6.0}, features


@_function("nn.leaky_relu")
def _leaky_relu(features, alpha=0.2, name=None):
    return "LeakyReLU", {"alpha": float(alpha)}, features


@_function("clip_by_value")
def _clip(t, clip_value_min, clip_value_max, name=None):
    low, high = _numbers(clip_value_min), _numbers(clip_value_max)
    if low is None or high is None or low.size != 1 or high.size != 1 or low != 0 or high <= 0:
        return None
    return "ReLU", {"max_value": float(high)}, t


@_function("math.maximum")
def _maximum(x, y, name=None):
    if _are_symbolic(x, y):
        return _merge("Maximum", [x, y])
    tensor, other = (x, y) if _are_symbolic(x) else (y, x)
    numbers = _numbers(other)
    return ("ReLU", {}, tensor) if numbers is not None and numbers.size == 1 and numbers == 0 else None


def _activation(activation, x, name=None):
    return "Activation", {"activation": activation}, x


@_function("nn.softmax")
def _softmax(logits, axis=None, name=None):
    return "Softmax", {"axis": -1 if axis is None else int(axis)}, logits


@_function("identity", "stop_gradient")
def _identity(input, name=None):
    return "Activation", {"activation": "linear"}, input


@_function("cast")
def _cast(x, dtype, name=None):
    tf = compat.import_tensorflow()
    return _identity(x) if tf.as_dtype(dtype) == x.dtype else None


@_function("reshape")
def _reshape(tensor, shape, name=None):
    return _reshaped(tensor, shape)


@_function("compat.v1.squeeze", "squeeze")
def _squeeze(input, axis=None, name=None, squeeze_dims=None):
    axes = [axis] if np.ndim(axis) == 0 else list(axis)
    if axis is None or squeeze_dims is not None:
        return None
    rank = len(input.shape)
    axes = {int(a) % rank for a in axes}
    return _reshaped(input, [n for a, n in enumerate(input.shape) if a not in axes])


@_function("expand_dims")
def _expand_dims(input, axis=None, name=None, dim=None):
    if not isinstance(axis, int):
        return None
    shape = list(input.shape)
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 1)
    return _reshaped(input, shape)


def _reshaped(x, shape):
    """Return a Reshape that leaves the batch axis alone."""
    if not isinstance(shape, (list, tuple)) or not shape or not _are_symbolic(x):
        return None
    # The batch size itself may be asked for, as in tf.reshape(x, (tf.shape(x)[0], -1)).
    batch, *rest = shape
    if not (_are_symbolic(batch) or batch in (-1, None)) or any(not isinstance(n, (int, np.integer)) for n in rest):
        return None
    n_values = int(np.prod(x.shape[1:])) if None not in x.shape[1:] else None
    known = int(np.prod([n for n in rest if n != -1]))
    if n_values is None or (known != n_values and (list(rest).count(-1) != 1 or batch == -1 or n_values % known)):
        return None
    return "Reshape", {"target_shape": tuple(int(n) if n != -1 else n_values // known for n in rest)}, x


@_function("concat")
def _concat(values, axis, name=None):
    rank = len(values[0].shape) if _are_symbolic(*values) and len(values) > 1 else 0
    if not isinstance(axis, (int, np.integer)) or not rank or axis % rank == 0:
        return None
    return "Concatenate", {"axis": int(axis)}, list(values)


@_function("compat.v1.transpose", "transpose")
def _transpose(a, perm=None, name=None, conjugate=False):
    if perm is None or conjugate or _numbers(perm) is None or perm[0] != 0:
        return None
    return "Permute", {"dims": tuple(int(axis) for axis in perm[1:])}, a


@_function("math.reduce_mean")
def _reduce_mean(input_tensor, axis=None, keepdims=False, name=None):
    rank = len(input_tensor.shape)
    numbers = _numbers(axis) if axis is not None else None
    if numbers is None or rank not in (3, 4, 5) or {int(a) % rank for a in numbers.ravel()} != {*range(1, rank - 1)}:
        return None
    options = {"data_format": "channels_last", "keepdims": bool(keepdims)}
    return f"GlobalAveragePooling{rank - 2}D", options, input_tensor


@_function("compat.v1.pad", "pad")
def _pad(tensor, paddings, mode="CONSTANT", name=None, constant_values=0):
    rank = len(tensor.shape)
    amounts, value = _numbers(paddings), _numbers(constant_values)
    if amounts is None or value is None or value.any() or str(mode).upper() != "CONSTANT" or rank not in (3, 4, 5):
        return None
    if amounts[0].any() or amounts[-1].any():
        return None
    padding = tuple((int(before), int(after)) for before, after in amounts[1:-1])
    options = {"padding": padding[0]} if rank == 3 else {"padding": padding, "data_format": "channels_last"}
    return f"ZeroPadding{rank - 2}D", options, tensor


@_function("__operators__.getitem")
def _getitem(tensor, slice_spec, var=None):
    """Turn ``x[:, 1:-1]`` into cropping, and ``x[..., ::-1]``, which makes BGR of RGB, into a convolution."""
    rank = len(tensor.shape)
    parts = _slices(slice_spec, rank)
    if parts is None or rank not in (3, 4, 5) or None in tensor.shape[1:] or parts[0] != slice(None):
        return None
    if parts[-1] == slice(None, None, -1) and set(map(repr, parts[:-1])) == {repr(slice(None))}:
        n_channels = tensor.shape[-1]
        kernel = np.eye(n_channels)[::-1].reshape((*[1] * (rank - 2), n_channels, n_channels))
        options = {"filters": n_channels, "kernel_size": 1, "use_bias": False, "weights": [kernel]}
        return f"Conv{rank - 2}D", options, tensor
    ranges = [part.indices(n) for part, n in zip(parts[1:], tensor.shape[1:])]
    if any(step != 1 or stop <= start for start, stop, step in ranges) or ranges[-1][:2] != (0, tensor.shape[-1]):
        return None
    cropping = tuple((start, n - stop) for (start, stop, _), n in zip(ranges[:-1], tensor.shape[1:-1]))
    return f"Cropping{rank - 2}D", {"cropping": cropping if rank > 3 else cropping[0]}, tensor


def _slices(spec, rank):
    """Return one slice for each axis, or None if the specification holds something else."""
    spec = list(spec) if isinstance(spec, (list, tuple)) else [spec]
    if sum(part is Ellipsis for part in spec) == 0:
        spec.append(Ellipsis)
    slices = []
    for part in spec:
        if part is Ellipsis:
            slices += [slice(None)] * (rank + 1 - len(spec))
            continue
        if not isinstance(part, dict) or not all(v is None or isinstance(v, int) for v in part.values()):
            return None
        slices.append(slice(part["start"], part["stop"], part["step"]))
    return slices if len(slices) == rank else None


#: Functions that no layer stands for, and that do nothing but compute with their arguments. A network runs them in
#: TensorFlow, and files may name them.
_OTHERS = """
    compat.v1.gather compat.v1.nn.crelu compat.v1.shape image.flip_left_right image.per_image_standardization
    image.resize image.rgb_to_grayscale math.abs math.ceil math.cos math.cumsum math.divide_no_nan math.erf math.exp
    math.expm1 math.floor math.greater math.l2_normalize math.less math.log math.log1p math.log_sigmoid math.minimum
    math.pow math.reciprocal math.reduce_logsumexp math.reduce_max math.reduce_min math.reduce_prod math.reduce_std
    math.reduce_sum math.reduce_variance math.rsqrt math.sign math.sin math.sqrt math.square math.squared_difference
    nn.avg_pool nn.avg_pool1d nn.avg_pool2d nn.avg_pool3d nn.depth_to_space nn.gelu nn.local_response_normalization
    nn.log_softmax nn.max_pool nn.max_pool1d nn.max_pool2d nn.max_pool3d nn.space_to_depth reverse roll shape stack tile
    where
"""
#: Names of all functions that are known here.
SYMBOLS = frozenset((*_FUNCTIONS, *_ACTIVATIONS, *_OTHERS.split()))
