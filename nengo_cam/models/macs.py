"""Multiplications of a CNN, counted layer by layer."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from .graph import flatten
from .keras3 import as_keras2

__all__ = ["cnn_macs", "window_padding"]


def cnn_macs(model: Any) -> dict[str, int]:
    """Count the multiplications with a weight that a CNN does for one image.

    Dense and convolutional layers count, depthwise, separable and transposed ones too. Cells of 'same' padding are not
    there to be multiplied. Additions (biases, pooling) and activations do not count.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or built Sequential model.

    Returns
    -------
    dict of {str: int}
        Multiply-accumulate operations by layer call, in the order in which they run.

    Raises
    ------
    ModelTypeError
        If it is not a Keras model whose layers can be read.
    UnsupportedModelError
        If it is a model of Keras 3 that cannot be rebuilt.
    """
    flat = flatten(as_keras2(model))
    counts = {}
    for call in flat.calls:
        shapes = flat.shape(call.inputs[0])[1:], call.output_shapes[0][1:]
        macs = _layer_macs(call.layer, re.sub(r"[123]D", "", call.kind), *shapes)
        if macs:
            # A layer that is called again works again.
            name, number = call.name, 1
            while name in counts:
                name, number = f"{call.name}.{number}", number + 1
            counts[name] = macs
    return counts


def window_padding(larger: int, smaller: int, window: int, stride: int, padding: str) -> tuple[int, int]:
    """Tell how far windows reach over the ends of a map along an axis.

    Parameters
    ----------
    larger, smaller : int
        Cells of the map that the windows slide over, and number of windows.
    window, stride : int
        Cells of a window, and cells from one to the next.
    padding : {"same", "valid"}
        With 'same' padding the smaller half is in front, as in TensorFlow.

    Returns
    -------
    before, behind : int
        Cells; negative behind if the last window ends before the map does.
    """
    total = (smaller - 1) * stride + window - larger
    before = max(total, 0) // 2 if padding == "same" else 0
    return before, total - before


def _layer_macs(layer, kind, shape_in, shape_out):
    """Count the multiplications in one call of a layer."""
    if kind == "Dense":
        return math.prod(shape_in) * shape_out[-1]
    if kind not in ("Conv", "ConvTranspose", "DepthwiseConv", "SeparableConv"):
        return 0
    last = layer.data_format == "channels_last"
    (*spatial_in, n_in), (*spatial_out, n_out) = (s if last else (*s[1:], s[0]) for s in (shape_in, shape_out))
    larger, smaller = (spatial_out, spatial_in) if kind == "ConvTranspose" else (spatial_in, spatial_out)
    by_axis = (larger, smaller, layer.kernel_size, layer.strides, layer.dilation_rate)
    pairs = math.prod(_pairs(*axis, layer.padding) for axis in zip(*by_axis))
    if kind == "DepthwiseConv":
        return pairs * n_out
    if kind == "SeparableConv":
        n_between = n_in * layer.depth_multiplier
        return pairs * n_between + math.prod(spatial_out) * n_between * n_out
    # A filter sees the channels of its group only.
    return pairs * n_in * n_out // getattr(layer, "groups", 1)


def _pairs(larger, smaller, kernel, stride, dilation, padding):
    """Count the pairs of a window's cell and a cell of the map along an axis."""
    before = window_padding(larger, smaller, (kernel - 1) * dilation + 1, stride, padding)[0]
    if padding == "causal":
        before = (kernel - 1) * dilation
    cells = np.arange(smaller)[:, None] * stride + np.arange(kernel) * dilation - before
    return int(((cells >= 0) & (cells < larger)).sum())
