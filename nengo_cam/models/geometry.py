"""Where in the image the cells of a feature map look.

A cell of a feature map sees a window of the image. Its center follows from the sizes, strides and paddings of the
layers before it; it is not always where the cell would lie if the map were stretched over the image.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .graph import FlatModel

__all__ = ["Grid", "cell_centers", "even_centers"]

_WINDOWED = frozenset({"AveragePooling", "Conv", "DepthwiseConv", "MaxPooling", "SeparableConv"})


@dataclasses.dataclass(frozen=True)
class Grid:
    """Evenly spaced points along one axis of the image.

    Attributes
    ----------
    start : float
        Center of what the first cell sees [pixel]; the center of the first pixel is 0.
    step : float
        Distance from one cell to the next [pixel].
    """

    start: float = 0.0
    step: float = 1.0

    def windows(self, n_cells: int, size: int, stride: int, same: bool) -> Grid:
        """Return the grid of windows that slide over ``n_cells`` cells of this one.

        TensorFlow's 'same' padding puts the smaller half in front ([1]_): with an even number of cells and a stride
        of 2, a window of 3 begins at the first cell, not one before it.

        Parameters
        ----------
        n_cells : int
            Cells of this grid.
        size : int
            Cells that a window spans, dilation included.
        stride : int
            Cells from one window to the next.
        same : bool
            Whether the padding is 'same', not 'valid'.

        Returns
        -------
        Grid
            Centers of the windows.

        References
        ----------
        .. [1] TensorFlow API documentation, tf.nn, "Notes on padding".
        """
        before = 0
        if same:
            n_windows = -(-n_cells // stride)
            before = max((n_windows - 1) * stride + size - n_cells, 0) // 2
        return Grid(self.start + self.step * ((size - 1) / 2 - before), self.step * stride)

    def shifted(self, n_cells: int) -> Grid:
        """Return the grid that begins ``n_cells`` cells later."""
        return Grid(self.start + self.step * n_cells, self.step)

    def refined(self, factor: int) -> Grid:
        """Return the grid in which each cell is split into ``factor``."""
        step = self.step / factor
        return Grid(self.start - self.step / 2 + step / 2, step)

    def points(self, n_cells: int) -> np.ndarray:
        """Return the centers of ``n_cells`` cells [pixel]."""
        return self.start + self.step * np.arange(n_cells)


def cell_centers(flat: FlatModel, key: Hashable) -> tuple[tuple, bool]:
    """Find where in the image the cells of a feature map look.

    Parameters
    ----------
    flat : nengo_cam.models.graph.FlatModel
        A model with one input of shape (X, channels), (Y, X, channels) or (Z, Y, X, channels).
    key : int
        Key of the feature map, channels last.

    Returns
    -------
    centers : tuple of ndarray
        For each axis of the map the centers of the cells' receptive fields [pixel]; the center of the first pixel is 0.
    exact : bool
        False if a layer is unknown, or branches that are joined disagree. The centers are then those of cells that
        divide the image evenly.
    """
    ((input_key, input_shape),) = flat.input_shapes.items()
    first = next((call for call in flat.calls if input_key in call.inputs), None)
    if first is not None and first.kind == "Permute" and first.layer.dims[-1] == 1:
        # Images with the channels first, which the model moves to the last axis.
        input_key, input_shape = first.outputs[0], first.output_shapes[0]
    sizes = flat.shape(key)[1:-1]
    grids = {input_key: (Grid(),) * (len(input_shape) - 2)}
    for call in flat.calls:
        if len(call.output_shapes) == 1 and call.outputs[0] not in grids:
            grids[call.outputs[0]] = _grids_after(flat, call, [grids.get(tensor) for tensor in call.inputs])
    found = grids[key]
    exact = found is not None
    if not exact:
        return even_centers(input_shape[1:-1], sizes), False
    return tuple(grid.points(n_cells) for grid, n_cells in zip(found, sizes)), True


def even_centers(pixels: Sequence[int], cells: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Find the centers of cells that divide an image evenly.

    Parameters
    ----------
    pixels, cells : sequence of int
        Size of the image and of the map along each axis.

    Returns
    -------
    tuple of ndarray
        For each axis the centers [pixel]; the center of the first pixel is 0.
    """
    steps = [size / n_cells for size, n_cells in zip(pixels, cells)]
    return tuple(Grid((step - 1) / 2, step).points(n_cells) for step, n_cells in zip(steps, cells))


def _grids_after(flat, call, inputs):
    """Return the grids of all axes after a layer, or None if they are not known."""
    if not inputs or any(grids is None or len(grids) != len(call.output_shapes[0]) - 2 for grids in inputs):
        return None
    layer, grids = call.layer, inputs[0]
    sizes = flat.shape(call.inputs[0])[1:-1]
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    kind = re.sub(r"[123]D$", "", call.kind)
    if kind in _WINDOWED:
        spans = getattr(layer, "kernel_size", None) or layer.pool_size
        options = (spans, layer.strides, getattr(layer, "dilation_rate", 1))
        return tuple(
            grid.windows(n, (span - 1) * dilation + 1, stride, layer.padding == "same")
            for grid, n, span, stride, dilation in zip(grids, sizes, *(_by_axis(o, len(sizes)) for o in options))
        )
    if kind == "ZeroPadding":
        padding = np.reshape(layer.padding, (-1, 2)).tolist()
        return tuple(grid.shifted(-before) for grid, (before, _) in zip(grids, padding))
    if kind == "Cropping":
        cropping = np.reshape(layer.cropping, (-1, 2)).tolist()
        return tuple(grid.shifted(before) for grid, (before, _) in zip(grids, cropping))
    if kind == "UpSampling":
        return tuple(grid.refined(factor) for grid, factor in zip(grids, _by_axis(layer.size, len(sizes))))
    # What is left keeps its cells if it keeps their number: activations, normalization, sums, concatenations.
    same_size = all(flat.shape(tensor)[1:-1] == call.output_shapes[0][1:-1] for tensor in call.inputs)
    alike = all(_close(others, grids) for others in inputs)
    return grids if same_size and alike else None


def _by_axis(option, n):
    """Spell out an option that 1-D layers give as a number."""
    return tuple(option) if np.iterable(option) else (option,) * n


def _close(grids, others):
    return np.allclose([(g.start, g.step) for g in grids], [(g.start, g.step) for g in others])
