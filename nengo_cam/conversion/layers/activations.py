"""ReLU that can clip, all channels at one value or each at its own."""

from __future__ import annotations

import math
from typing import Any

import nengo
import numpy as np

from ...models.simplify import max_value_of
from ...neurons import ClippedRectifiedLinear
from .base import converts, nengo_dl

__all__ = ["ConvertClippedReLU", "ConvertReLU", "rate_form"]


def rate_form(layer: Any) -> nengo.neurons.NeuronType:
    """Make the rate neurons that compute the ReLU of a layer.

    Parameters
    ----------
    layer : tf.keras.layers.Layer
        One of `nengo_cam.models.simplify.rectified_layers`.

    Returns
    -------
    nengo.RectifiedLinear or ClippedRectifiedLinear
        Neurons of amplitude 1. Clips by channel are repeated at each position.
    """
    max_value = max_value_of(layer)
    if np.ndim(max_value):
        max_value = np.tile(max_value, math.prod(layer.output_shape[1:-1]))
    # Plain where nothing clips: NengoDL and its swaps know the plain type.
    return nengo.RectifiedLinear() if np.all(np.isinf(max_value)) else ClippedRectifiedLinear(max_value)


class ConvertClippedReLU(nengo_dl.converter.LayerConverter):
    """Layers that are nothing but a clipped ReLU, such as `nengo_cam.models.simplify.clipped_relu` makes."""

    def convert(self, node_id: int) -> Any:
        output = self.add_nengo_obj(node_id, activation=rate_form(self.layer))
        self.add_connection(node_id, output)
        return output


@converts("ReLU")
class ConvertReLU(nengo_dl.converter.ConvertReLU):
    """ReLU that can clip, which NengoDL's leaves to TensorFlow."""

    def convert(self, node_id: int) -> Any:
        return super().convert(node_id) if self.layer.max_value is None else ConvertClippedReLU.convert(self, node_id)

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        return super().convertible(layer, converter) if max_value_of(layer) is None else (True, None)
