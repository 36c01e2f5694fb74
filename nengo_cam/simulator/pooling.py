"""Pooling: NengoDL writes an average as a dense convolution with an identity kernel; here it is an average again."""

import math

import numpy as np
from nengo.builder.transforms import ConvInc

from .. import compat
from .compiled import compiled
from .convolution import ConvIncRule, ConvolutionRule
from .registry import register_operator
from .scan import for_each, portions
from .tensors import to_numpy

__all__ = ["PoolingRule", "pooling_factor"]


@register_operator(ConvInc)
def choose_convolution_rule(operator, build):
    """Take the rule for pooling where it is one."""
    pools = pooling_factor(operator.conv, operator.W.initial_value) is not None
    return (PoolingRule if pools else ConvIncRule)(operator, build)


def pooling_factor(conv, kernel):
    """Tell whether a convolution treats all channels alike and all positions of its window too.

    Parameters
    ----------
    conv : nengo.Convolution
        The transform.
    kernel : ndarray of shape (*window, C, F)
        Its kernel.

    Returns
    -------
    float or None
        What the sum over the window is multiplied by; None if the convolution does more than that.
    """
    n_in, n_out = kernel.shape[-2:]
    if conv.groups != 1 or n_in != n_out or conv.padding != "valid" or conv.dimensions > 3:
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
    """Average over windows: a sum over each window, times one factor."""

    def prepare(self):
        self._factor = self.build.dtype.type(self.kernel.flat[0])
        self._window = self.kernel.shape[:-2]
        # Large if it is not a view, and not needed any more.
        self.kernel = None

    def compute(self, frames):
        leading = frames.shape[:2]
        if self._window == self.in_shape[:-1]:
            # In place of where it was recorded: a reshape to one leading axis might copy.
            frames = frames.reshape((*leading, -1, self.in_shape[-1]))
            total = np.empty((*leading, self.in_shape[-1]), frames.dtype)

            def add_up(steps):
                for item in range(leading[0]):
                    _add_positions(frames[item, steps], total[item, steps])

            for_each(add_up, portions(leading[1]), parallel=frames.size > 2**20)
            return (total * self._factor).reshape((*leading, *self.out_shape))
        frames = frames.reshape((-1, *self.in_shape))
        if not self.build.exact and len(self._window) == 2:
            tf = compat.import_tensorflow()
            mean = to_numpy(tf.nn.avg_pool2d(frames, self._window, self.conv.strides, "VALID"))
            return (mean * (self._factor * math.prod(self._window))).reshape((*leading, *self.out_shape))
        total = np.zeros((len(frames), *self.out_shape), frames.dtype)
        for offset in np.ndindex(*self._window):
            where = [slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offset, self.out_shape, self.conv.strides)]
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
