"""Convolutions of spikes: each spike adds the kernel to the positions that it reaches, and silence costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .compiled import compiled
from .scan import for_each

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EventConvolution"]

#: Frames with more than this share of elements that are not zero are better multiplied as matrices.
_DENSE = 0.1

#: Frames that a thread takes at a time.
_FRAMES = 8


class EventConvolution:
    """A convolution in one or two dimensions that only looks at elements that are not zero.

    Each output is a sum over those elements in the order of the input, for any number of frames at a time.

    Parameters
    ----------
    kernel : ndarray of shape (*window, C, F)
        Kernel, float32; it is not flipped.
    in_shape, out_shape : tuple of int
        Shapes (*spatial, C) and (*spatial_out, F) of a frame, channels last.
    strides : sequence of int
        Strides of the windows.
    padding : str
        "same" or "valid".
    """

    def __init__(
        self,
        kernel: np.ndarray,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        strides: Sequence[int],
        padding: str,
    ):
        self._in, self._out = in_shape, out_shape
        if len(in_shape) == 2:
            # A signal of one dimension is an image of one row.
            kernel, strides = kernel[None], (1, *strides)
            in_shape, out_shape = (1, *in_shape), (1, *out_shape)
        self._frame, self._out_frame = in_shape, out_shape
        self._strides = tuple(map(int, strides))
        window = kernel.shape[:2]
        self._before = tuple(
            max((n_out - 1) * s + k - n, 0) // 2 if padding == "same" else 0
            for n, n_out, s, k in zip(in_shape, out_shape, self._strides, window)
        )
        # What one channel adds, in the order of the output: the window mirrored along the row.
        self._stamps = np.ascontiguousarray(kernel[:, ::-1].transpose(2, 0, 1, 3))

    def suits(self, frames: np.ndarray) -> bool:
        """Tell whether so few elements are not zero that this is faster than a product of matrices."""
        return _count(np.ascontiguousarray(frames).reshape(-1)) <= _DENSE * frames.size

    def __call__(self, frames: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """Convolve.

        Parameters
        ----------
        frames : ndarray of shape (..., *in_shape)
            Input.
        bias : ndarray of shape (F,), optional
            What is added at all positions.

        Returns
        -------
        ndarray of shape (..., *out_shape)
        """
        shape = frames.shape[: -len(self._in)]
        frames = np.ascontiguousarray(frames).reshape((-1, *self._frame))
        out = np.empty((len(frames), *self._out_frame), frames.dtype)
        bias = np.zeros(out.shape[-1], out.dtype) if bias is None else np.asarray(bias, out.dtype)

        def run(start):
            part = slice(start, start + _FRAMES)
            _add_stamps(frames[part], self._stamps, bias, out[part], self._strides, self._before)

        for_each(run, range(0, len(frames), _FRAMES), parallel=out.size > 2**18)
        return out.reshape((*shape, *self._out))


@compiled
def _count(array):
    count = 0
    for value in array:
        count += value != 0
    return count


@compiled
def _add_scaled(total, factor, terms):
    # Slices that begin at 0: with offsets that might be negative the loop would not become vector instructions.
    for k in range(len(total)):
        total[k] += factor * terms[k]


@compiled
def _add_stamps(frames, stamps, bias, out, strides, before):
    n_frames, n_rows, n_columns, n_channels = frames.shape
    _, height, width, n_filters = stamps.shape
    _, out_rows, out_columns, _ = out.shape
    flat, stamp = out.reshape(-1), stamps.reshape(-1)
    whole_rows = strides[1] == 1
    for frame in range(n_frames):
        for row in range(out_rows):
            for column in range(out_columns):
                for k in range(n_filters):
                    out[frame, row, column, k] = bias[k]
        for y in range(n_rows):
            for x in range(n_columns):
                # Column of the output that the first column of the mirrored window falls on, times the stride.
                first = x + before[1] - (width - 1)
                for c in range(n_channels):
                    value = frames[frame, y, x, c]
                    if value == 0:
                        continue
                    for i in range(height):
                        row = y + before[0] - i
                        if strides[0] > 1:
                            if row % strides[0]:
                                continue
                            row //= strides[0]
                        if row < 0 or row >= out_rows:
                            continue
                        target = (frame * out_rows + row) * out_columns
                        source = (c * height + i) * width
                        if whole_rows:
                            # Neighboring columns are neighbors in memory: one long sum.
                            start, stop = max(-first, 0), min(out_columns - first, width)
                            size = (stop - start) * n_filters
                            to, of = (target + first + start) * n_filters, (source + start) * n_filters
                            _add_scaled(flat[to : to + size], value, stamp[of : of + size])
                            continue
                        for j in range(width):
                            column = first + j
                            if strides[1] > 1:
                                if column % strides[1]:
                                    continue
                                column //= strides[1]
                            if column < 0 or column >= out_columns:
                                continue
                            to = (target + column) * n_filters
                            of = (source + j) * n_filters
                            _add_scaled(flat[to : to + n_filters], value, stamp[of : of + n_filters])
