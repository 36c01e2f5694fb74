"""Average pooling, also at the edges of 'same' padding, and max pooling where it may become an average."""

from __future__ import annotations

import math
from typing import Any

import nengo
import numpy as np

from .base import NativeConverter, converts, nengo_dl, pooling

__all__ = ["ConvertPooling"]

_KINDS = ("AveragePooling{}D", "GlobalAveragePooling{}D", "GlobalMaxPooling{}D", "MaxPooling{}D")


@converts(*(kind.format(dimensions) for kind in _KINDS for dimensions in (1, 2, 3)))
class ConvertPooling(NativeConverter, nengo_dl.converter.ConvertAvgPool):
    """Mean over windows.

    With 'same' padding Keras divides by the number of cells that lie inside the map. A convolution cannot, so it
    divides by the size of the window, and what it leads to is multiplied by the ratio of the two.
    """

    unsupported_args: list = []  # noqa: RUF012 (NengoDL declares it so)

    def convert(self, node_id: int) -> Any:
        layer, shape = self.layer, self.input_shape(node_id)
        channels_last = layer.data_format == "channels_last"
        spatial = shape[:-1] if channels_last else shape[1:]
        # Global pooling has neither of these.
        window = _as_tuple(getattr(layer, "pool_size", spatial), len(spatial))
        strides = _as_tuple(getattr(layer, "strides", 1), len(spatial))
        counts = [np.full(1, k) for k in window]
        padding = "valid"
        if getattr(layer, "padding", "valid") == "same":
            counts = [_cells_inside(*axis) for axis in zip(spatial, window, strides)]
            if any(np.any(count != k) for count, k in zip(counts, window)):
                padding = "same"
        transform = pooling(window, shape, strides=strides, padding=padding, channels_last=channels_last)
        output = self.add_nengo_obj(node_id)
        if padding == "valid":
            self.add_convolution(node_id, output, transform)
            return output
        sums = nengo.Node(size_in=output.size_in, label=f"{layer.name}.{node_id}.sums")
        self.add_convolution(node_id, sums, transform)
        ratio = math.prod(window) / math.prod(np.ix_(*counts))
        ratio = np.broadcast_to(ratio[..., None] if channels_last else ratio[None], self.output_shape(node_id))
        self.set_trainable(nengo.Connection(sums, output, transform=ratio.ravel(), synapse=None), False)
        return output


def _as_tuple(value, dimensions):
    return tuple(np.broadcast_to(value, dimensions).tolist())


def _cells_inside(n_in, window, stride):
    """Count, for each position of a window with 'same' padding, the cells that lie inside."""
    n_out = -(-n_in // stride)
    before = max((n_out - 1) * stride + window - n_in, 0) // 2
    first = np.arange(n_out) * stride - before
    return np.minimum(first + window, n_in) - np.maximum(first, 0)
