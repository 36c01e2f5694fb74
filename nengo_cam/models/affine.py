"""A factor and an offset for each channel: what BatchNormalization, Normalization and Rescaling do at inference."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import compat

__all__ = ["Affine", "affine_of"]

# Keras's own default; what it adds is taken off the variance.
_EPSILON = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    r"""The map :math:`x_c \mapsto s_c x_c + b_c` of channels.

    Attributes
    ----------
    scale, shift : ndarray of shape (C,)
        Factors :math:`s` and offsets :math:`b`, in double precision.
    """

    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, scale: ArrayLike, shift: ArrayLike, n_channels: int) -> Affine:
        """Make one of numbers or arrays."""
        return cls(*(np.broadcast_to(np.asarray(values, float), n_channels) for values in (scale, shift)))

    @classmethod
    def of_normalization(cls, weights: Any, config: dict) -> Affine:
        """Make one of the weights and the configuration of a BatchNormalization layer."""
        weights = [np.asarray(weight, float) for weight in weights]
        mean, variance = weights[-2:]
        gamma = weights[0] if config["scale"] else 1
        beta = weights[1 if config["scale"] else 0] if config["center"] else 0
        scale = gamma / np.sqrt(variance + config["epsilon"])
        return cls.of(scale, beta - scale * mean, len(mean))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.scale * x + self.shift

    def inverse(self, y: np.ndarray) -> np.ndarray:
        """Undo it; channels with factor 0 come back as 0."""
        return np.divide(y - self.shift, self.scale, out=np.zeros(np.shape(y)), where=self.scale != 0)

    def then(self, other: Affine) -> Affine:
        """Return what this and then another does."""
        return Affine(other.scale * self.scale, other(self.shift))

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return bool((self.scale == 1).all() and (self.shift == 0).all())

    def normalization(self, name: str) -> tuple[dict, tuple]:
        """Return configuration and weights of a BatchNormalization layer that does it, which NengoDL has natively."""
        ones = np.ones_like(self.scale)
        return {"name": name, "axis": -1, "epsilon": _EPSILON}, (self.scale, self.shift, 0 * ones, ones - _EPSILON)


def affine_of(layer: Any, shape: tuple, channel_axis: int = -1) -> Affine | None:
    r"""Read factors and offsets from a layer.

    BatchNormalization: :math:`\gamma (x - \mu) / \sqrt{\sigma^2 + \epsilon} + \beta`. Normalization:
    :math:`(x - \mu) / \sigma`. Rescaling: what its options say.

    Parameters
    ----------
    layer : tf.keras.layers.Layer
        A layer that was called.
    shape : tuple
        Shape of its input, batch axis first.
    channel_axis : int
        Which axis of the input holds the channels.

    Returns
    -------
    Affine or None
        None if it is another layer, one derived from these, or does not treat all positions of a channel alike.
    """
    layers = compat.import_tensorflow().keras.layers
    read = {layers.BatchNormalization: _batch_norm, layers.Normalization: _norm, layers.Rescaling: _rescaling}
    if type(layer) not in read or len(shape) < 2 or shape[channel_axis] is None:
        return None
    scale, shift = read[type(layer)](layer, shape)
    return _by_channel(scale, shift, shape, channel_axis % len(shape))


def _batch_norm(layer, shape):
    affine = Affine.of_normalization(layer.get_weights(), layer.get_config())
    full = [1] * len(shape)
    for axis in layer.axis:
        full[axis] = shape[axis]
    return (np.reshape(numbers, full) for numbers in (affine.scale, affine.shift))


def _norm(layer, shape):
    tf = compat.import_tensorflow()
    mean = np.asarray(layer.mean, float)
    deviation = np.maximum(np.sqrt(np.asarray(layer.variance, float)), tf.keras.backend.epsilon())
    if getattr(layer, "invert", False):
        return deviation, mean
    return 1 / deviation, -mean / deviation


def _rescaling(layer, shape):
    return layer.scale, layer.offset


def _by_channel(scale, shift, shape, channel_axis):
    """Make an Affine of numbers that broadcast to a shape, or None if they differ between positions of a channel."""
    n_channels, values = shape[channel_axis], []
    for numbers in (scale, shift):
        numbers = np.asarray(numbers, float)
        if numbers.ndim > len(shape):
            return None
        numbers = numbers.reshape((1,) * (len(shape) - numbers.ndim) + numbers.shape)
        # From (1, Y, X, C), most of it 1, to (positions, C).
        numbers = np.moveaxis(numbers, channel_axis, -1).reshape(-1, numbers.shape[channel_axis])
        if numbers.shape[-1] not in (1, n_channels) or not (numbers == numbers[:1]).all():
            return None
        values.append(numbers[0])
    return Affine.of(*values, n_channels)
