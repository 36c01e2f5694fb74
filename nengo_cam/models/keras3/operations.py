"""What an operation or function in the description of a model (``x + y``, ``keras.ops.relu``) becomes in Keras 2.

It is made with TensorFlow's function; `nengo_cam.models.operator_layers` then finds the layer that does the same.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ... import compat

if TYPE_CHECKING:
    from .layers import Entry

__all__ = ["OPERATIONS", "apply_operation"]

_OPERATIONS: dict[str, Any] = {}


def apply_operation(entry: Entry, args: tuple, kwargs: dict) -> Any:
    """Apply an operation of Keras 3 to symbolic tensors of Keras 2.

    Parameters
    ----------
    entry : nengo_cam.models.keras3.layers.Entry
        The operation's description.
    args : list
        Symbolic tensors and numbers.
    kwargs : dict
        Likewise; what is None is left out.

    Returns
    -------
    symbolic tensor
        The result. The layer that makes it bears the operation's name.

    Raises
    ------
    UnsupportedModelError
        If the operation, or one of its options, is not known.
    """
    function = _OPERATIONS.get(entry.kind)
    if function is None:
        raise entry.error(f"expected one of the operations {sorted(_OPERATIONS)}, got another")
    options = {name: value for name, value in {**entry.config, **kwargs}.items() if value is not None}
    options.pop("name", None)
    # Keras writes it for each operation; the result's own follows from what goes in.
    options.pop("dtype", None)
    try:
        inspect.signature(function).bind(None, *args, **options)
        output = function(compat.import_tensorflow(), *args, **options)
    except (TypeError, ValueError) as err:
        raise entry.error(f"TensorFlow does not take its options ({err})") from err
    if not compat.is_symbolic(output):
        raise entry.error("expected a function of the model's input, got a constant")
    compat.name_operation(output, entry.name)
    return output


def _operation(*names):
    def register(function):
        _OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


_OPERATIONS.update(
    {
        "Add": lambda tf, x1, x2: tf.math.add(x1, x2),
        "Divide": lambda tf, x1, x2: tf.math.divide(x1, x2),
        "Maximum": lambda tf, x1, x2: tf.math.maximum(x1, x2),
        "Minimum": lambda tf, x1, x2: tf.math.minimum(x1, x2),
        "Multiply": lambda tf, x1, x2: tf.math.multiply(x1, x2),
        "Negative": lambda tf, x: tf.math.negative(x),
        "Relu": lambda tf, x: tf.nn.relu(x),
        "Relu6": lambda tf, x: tf.nn.relu6(x),
        "Selu": lambda tf, x: tf.nn.selu(x),
        "Sigmoid": lambda tf, x: tf.math.sigmoid(x),
        "Silu": lambda tf, x: tf.nn.silu(x),
        "Softplus": lambda tf, x: tf.math.softplus(x),
        "Softsign": lambda tf, x: tf.nn.softsign(x),
        "Subtract": lambda tf, x1, x2: tf.math.subtract(x1, x2),
        "Tanh": lambda tf, x: tf.math.tanh(x),
        "TrueDivide": lambda tf, x1, x2: tf.math.divide(x1, x2),
    }
)


@_operation("Clip")
def _clip(tf, x, x_min, x_max):
    return tf.clip_by_value(x, x_min, x_max)


@_operation("Concatenate")
def _concatenate(tf, xs, axis=0):
    return tf.concat(xs, axis)


@_operation("Elu")
def _elu(tf, x, alpha=1.0):
    return tf.nn.elu(x) if alpha == 1 else tf.keras.layers.ELU(alpha)(x)


@_operation("ExpandDims")
def _expand_dims(tf, x, axis):
    return tf.expand_dims(x, axis)


@_operation("Gelu")
def _gelu(tf, x, approximate=True):
    return tf.nn.gelu(x, approximate=approximate)


@_operation("GetItem")
def _get_item(tf, x, key):
    return x[tuple(key) if isinstance(key, list) else key]


@_operation("LeakyRelu")
def _leaky_relu(tf, x, negative_slope=0.2):
    return tf.nn.leaky_relu(x, alpha=negative_slope)


@_operation("Mean")
def _mean(tf, x, axis=None, keepdims=False):
    return tf.reduce_mean(x, axis, keepdims=keepdims)


@_operation("Pad")
def _pad(tf, x, pad_width, mode="constant", constant_values=0):
    return tf.pad(x, pad_width, mode.upper(), constant_values)


@_operation("Reshape")
def _reshape(tf, x, newshape):
    return tf.reshape(x, [-1 if n is None else n for n in newshape])


@_operation("Softmax")
def _softmax(tf, x, axis=-1):
    return tf.nn.softmax(x, axis=axis)


@_operation("Squeeze")
def _squeeze(tf, x, axis=None):
    return tf.squeeze(x, axis)


@_operation("Transpose")
def _transpose(tf, x, axes=None):
    return tf.transpose(x, axes)


#: Names of all operations that are known here.
OPERATIONS = frozenset(_OPERATIONS)
