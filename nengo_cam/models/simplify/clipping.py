"""ReLU with a largest activation, one for each channel."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ... import compat

__all__ = ["clipped_relu", "max_value_of"]


@functools.cache
def clipped_relu() -> type:
    """Make the Keras layer class that clips each channel at a value of its own; one class, made when first asked for.

    Returns
    -------
    type
        Layer class whose only option of its own is ``max_value``, numbers along the last axis.
    """
    tf = compat.import_tensorflow()
    layer_type: Any = tf.keras.layers.Layer

    # Keras looks it up by this name when it makes a pickled model again.
    @tf.keras.utils.register_keras_serializable(package="nengo_cam")
    class ClippedReLU(layer_type):
        """Compute min(max(x, 0), max_value)."""

        def __init__(self, max_value, **kwargs):
            super().__init__(**kwargs)
            self.max_value = tuple(float(value) for value in max_value)

        def call(self, inputs):
            return tf.minimum(tf.nn.relu(inputs), tf.constant(self.max_value, inputs.dtype))

        def get_config(self):
            return {**super().get_config(), "max_value": self.max_value}

    # Found by `__getattr__`, so that pickles, which hold classes by name, find it too.
    ClippedReLU.__qualname__ = "ClippedReLU"
    return ClippedReLU


def __getattr__(name):
    if name == "ClippedReLU":
        return clipped_relu()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def max_value_of(layer: Any) -> Any:
    """Tell where the ReLU that a layer ends in is clipped.

    Parameters
    ----------
    layer : tf.keras.layers.Layer
        Any layer.

    Returns
    -------
    float or ndarray of shape (channels,), or None
        Largest activation, of all channels or of each; infinite for plain ReLU. None if the layer does not end in a
        ReLU, or if that has another threshold than zero, a slope below it, or a largest activation of zero; and for
        layers that are not Keras's own, which may do more than their options say.
    """
    tf = compat.import_tensorflow()
    own: Any = clipped_relu()
    if isinstance(layer, own):
        return np.array(layer.max_value)
    if not compat.is_keras_layer(type(layer)):
        return None
    if isinstance(layer, tf.keras.layers.ReLU):
        if layer.threshold != 0 or layer.negative_slope != 0 or layer.max_value == 0:
            return None
        # Keras keeps it in single precision; what was written is the shortest number that rounds to it.
        return np.inf if layer.max_value is None else float(str(layer.max_value))
    activation = getattr(layer, "activation", None)
    if activation is tf.nn.relu6:
        return 6.0
    return np.inf if activation in (tf.keras.activations.relu, tf.nn.relu) else None
