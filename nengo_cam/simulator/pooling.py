"""Pooling: Nengo writes an average as a convolution with an identity kernel; here it is an average again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nengo.builder.transforms import ConvInc

from .. import compat
from .compiled import compiled
from .convolution import ConvIncRule, ConvolutionRule, n_groups
from .operator_rules import register_operator
from .scan import for_each, portions
from .tensors import to_numpy

if TYPE_CHECKING:
    import nengo

__all__ = ["PoolingRule", "pooling_factor"]


@register_operator(ConvInc)
def choose_convolution_rule(operator, build):
    """Take the rule for pooling where it is one."""
    pools = pooling_factor(operator.conv, operator.W.initial_value) is not None
    return (PoolingRule if pools else ConvIncRule)(operator, build)


def pooling_factor(conv: nengo.Convolution, kernel: np.ndarray) -> float | None:
    """Tell whether a convolution treats all channels alike and all positions of its window too.

    Parameters
    ----------
    conv : nengo.Convolution
        The transform.
    kernel : ndarray of shape (*window, C / groups, F)
        Its kernel.

    Returns
    -------
    float or None
        What the sum over the window is multiplied by; None if the convolution does more than that.
    """
    n_in, n_out = kernel.shape[-2:]
    if n_in * n_groups(conv) != n_out or conv.dimensions > 3:
        return None
    if n_in == 1:
        # One group per channel, or one channel.
        return kernel.flat[0] if kernel.flat[0] != 0 and np.all(kernel == kernel.flat[0]) else None
    if n_groups(conv) > 1:
        return None
    if not any(kernel.strides[:-2]):
        # A view that repeats one position.
        kernel = kernel[(0,) * conv.dimensions]
    factor = kernel.flat[0]
    # Cheap tests first: most kernels are dense.
    diagonal = np.einsum("...cc->...c", kernel)
    if factor == 0 or not np.all(diagonal == factor) or np.count_nonzero(kernel) != diagonal.size:
        return None
    return factor


class PoolingRule(ConvolutionRule):
    """Average over windows: a sum over the cells of each window that lie inside, times one factor."""

    def prepare(self) -> None:
        self._factor = self.build.dtype.type(self.kernel.flat[0])
        self._window, self._strides = self.kernel.shape[:-2], tuple(int(s) for s in self.conv.strides)
        self._before, self._after = self._padding()
        # TensorFlow divides by the number of cells inside.
        self._weights = (self._factor * self._cells_inside()).astype(self.build.dtype)
        # Large if it is not a view, and not needed any more.
        del self.kernel

    def _padding(self):
        """Count the cells that windows reach beyond either end of each axis; only with padding "same" there are any."""
        total = [
            max((n_out - 1) * s + k - n, 0)
            for n_out, s, k, n in zip(self.out_shape, self._strides, self._window, self.in_shape)
        ]
        return [t // 2 for t in total], [t - t // 2 for t in total]

    def _cells_inside(self):
        """Count, for each position of the window, the cells inside the map; of shape (*spatial_out, 1)."""
        counts = np.ones((), self.build.dtype)
        for n_out, s, k, n, before in zip(self.out_shape, self._strides, self._window, self.in_shape, self._before):
            first = np.arange(n_out) * s - before
            counts = counts[..., None] * (np.minimum(first + k, n) - np.maximum(first, 0))
        return counts[..., None]

    def compute(self, frames: np.ndarray) -> np.ndarray:
        leading = frames.shape[:2]
        if self._window == self.in_shape[:-1] and not any(self._after):
            # In place of where it was recorded: a reshape to one leading axis might copy.
            frames = frames.reshape((*leading, -1, self.in_shape[-1]))
            total = np.empty((*leading, self.in_shape[-1]), frames.dtype)

            def add_up(steps):
                for item in range(leading[0]):
                    _add_positions(frames[item, steps], total[item, steps])

            for_each(add_up, portions(leading[1]), parallel=frames.size > 2**20)
            return (total * self._factor).reshape((*leading, *self.out_shape))
        frames = frames.reshape((-1, *self.in_shape))
        if not self.build.exact:
            tf = compat.import_tensorflow()
            mean = to_numpy(tf.nn.avg_pool(frames, self._window, self._strides, self.conv.padding.upper()))
            return (mean * self._weights).reshape((*leading, *self.out_shape))
        if any(self._after):
            frames = np.pad(frames, [(0, 0), *zip(self._before, self._after), (0, 0)])
        total = np.zeros((len(frames), *self.out_shape), frames.dtype)
        for offset in np.ndindex(*self._window):
            where = [slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offset, self.out_shape, self._strides)]
            total += frames[(slice(None), *where)]
        return (total * self._factor).reshape((*leading, *self.out_shape))


@compiled
def _add_positions(frames, total):
    # As NumPy's sum over the second axis, which takes twice the time.
    total[:] = 0
    for step in range(len(frames)):
        sums = total[step]
        for position in range(frames.shape[1]):
            terms = frames[step, position]
            for channel in range(len(sums)):
                sums[channel] += terms[channel]
