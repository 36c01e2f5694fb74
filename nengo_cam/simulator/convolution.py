"""Rules for convolutions: one call for all steps and items."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from nengo.builder.transforms import ConvTransposeInc
from numpy.lib.stride_tricks import sliding_window_view

from .. import compat
from .events import EventConvolution
from .operator_folding import unscaling
from .operator_rules import Rule, register_operator
from .signals import Value
from .tensors import to_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import nengo
    from nengo.builder import Operator, Signal

    from .context import Build, StepRange

__all__ = ["ConvIncRule", "ConvolutionRule", "correlate", "n_groups"]


def n_groups(conv: nengo.Convolution) -> int:
    """Tell the number of groups of a convolution, which Nengo 3.2 does not have."""
    return getattr(conv, "groups", 1)


class ConvolutionRule(Rule):
    """What convolutions have in common: frames in, frames out, channels last in between."""

    def __init__(self, operator: Operator, build: Build):
        super().__init__(operator, build)
        self.conv = operator.conv
        self.kernel = build.constant(operator.W)
        self.in_shape = (*self.conv.input_shape.spatial_shape, self.conv.input_shape.n_channels)
        self.out_shape = (*self.conv.output_shape.spatial_shape, self.conv.output_shape.n_channels)
        self.unscale = unscaling(operator)
        self.prepare()

    @property
    def inputs(self) -> list[Signal]:
        return [self.operator.X]

    def prepare(self) -> None:
        """Choose how to compute it."""

    def compute(self, frames: np.ndarray) -> np.ndarray:
        """From frames (batch, steps, *in_shape) to frames (batch, steps, *out_shape)."""
        raise NotImplementedError

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        array = inputs[0].dense()
        if not array.any():
            # Before the first spike, and behind silent layers: still, whatever the number of steps.
            array = array[:1, :1]
        leading = array.shape[:2]
        if self.conv.channels_last:
            out = self.compute(array.reshape((*leading, *self.in_shape)))
        else:
            frames = array.reshape((*leading, *self.conv.input_shape.shape))
            out = np.moveaxis(self.compute(np.ascontiguousarray(np.moveaxis(frames, 2, -1))), -1, 2)
        return [Value((out.reshape((*leading, -1)), self.unscale))]


class ConvIncRule(ConvolutionRule):
    """Convolution; in double precision frame by frame and in the reference's order of summation."""

    def prepare(self) -> None:
        self._dense = self._bias = self._events = None
        if self.build.exact or self.conv.dimensions > 3:
            return
        if n_groups(self.conv) == 1 and self.conv.dimensions < 3:
            # With groups an event adds too few numbers to be worth its while.
            self._events = EventConvolution(
                self.kernel, self.in_shape, self.out_shape, self.conv.strides, self.conv.padding
            )
        self._dense = _DenseConvolution(self.kernel, self.conv.strides, self.conv.padding, n_groups(self.conv))

    def absorb(self, value: np.ndarray | None) -> bool:
        """Take over the addition of a constant to the output, if it is the same at all positions of a channel.

        Parameters
        ----------
        value : ndarray of shape (1, 1, size), or None
            What is added; None for nothing.

        Returns
        -------
        bool
            Whether it is taken over.
        """
        self._bias = None
        if value is None or self._dense is None or self.unscale is None or not self.conv.channels_last:
            return False
        by_channel = value.reshape(-1, self.out_shape[-1])
        if self._dense.n_parts > 1 or value.shape[:2] != (1, 1) or np.any(by_channel != by_channel[0]):
            return False
        # The product is multiplied by `unscale` later, and from now on the bias with it.
        self._bias = by_channel[0] * np.asarray(1 / self.unscale, self.build.dtype)
        return True

    def compute(self, frames: np.ndarray) -> np.ndarray:
        leading = frames.shape[:2]
        if self._events is not None and self._events.suits(frames):
            return self._events(frames, self._bias)
        frames = frames.reshape((-1, *self.in_shape))
        if self._dense is not None:
            return self._dense(frames, self._bias).reshape((*leading, *self.out_shape))
        out = np.empty((len(frames), *self.out_shape), frames.dtype)
        for i, frame in enumerate(frames):
            out[i] = correlate(frame, self.kernel, self.conv.strides, self.conv.padding, n_groups(self.conv))
        return out.reshape((*leading, *self.out_shape))


class _DenseConvolution:
    """A convolution that looks at all elements, by TensorFlow, which is loaded with the first frames.

    Its kernels for the processor are faster than what NumPy and SciPy have: theirs go through a matrix of all windows,
    nine times the size of the frames for a 3 x 3 window. Frames of few spikes never come here.

    Parameters
    ----------
    kernel : ndarray of shape (*window, C / groups, F)
        Kernel, float32; it is not flipped.
    strides : sequence of int
        Strides of the windows.
    padding : str
        "same" or "valid".
    groups : int
        Number of groups that channels are split into.

    Attributes
    ----------
    n_parts : int
        Number of calls that it takes.
    """

    def __init__(self, kernel, strides, padding, groups):
        self._strides, self._padding = tuple(int(s) for s in strides), padding.upper()
        self._row = len(self._strides) == 1
        if self._row:
            # A 1-D signal is an image of one row.
            kernel, self._strides = kernel[None], (1, *self._strides)
        # TensorFlow has groups in two dimensions, and is as fast with one per channel as its depthwise convolution.
        self._kernels = [kernel] if len(self._strides) == 2 else np.split(kernel, groups, axis=-1)
        self.n_parts = len(self._kernels)

    @functools.cached_property
    def _loaded(self):
        tf = compat.import_tensorflow()
        functions = convolution_functions(len(self._strides), self._strides, self._padding)
        return tf.constant, [tf.constant(kernel) for kernel in self._kernels], functions

    def __call__(self, frames, bias=None):
        """Convolve frames of shape (frames, *spatial, C), and add a bias of shape (F,) if there is one part."""
        constant, kernels, functions = self._loaded
        if self._row:
            frames = frames[:, None]
        if self.n_parts == 1:
            terms = () if bias is None else (constant(bias),)
            return to_numpy(functions[len(terms)](constant(frames), kernels[0], *terms))
        groups = zip(np.split(frames, self.n_parts, axis=-1), kernels)
        return np.concatenate([to_numpy(functions[0](constant(group), kernel)) for group, kernel in groups], axis=-1)


@functools.cache
def convolution_functions(dimensions, strides, padding):
    """Make TensorFlow's convolution for frames and kernels of any size, without and with a bias.

    As graphs: called eagerly it may run on one processor only, and the bias is added in a pass of its own.
    """
    tf = compat.import_tensorflow()
    shapes = [tf.TensorSpec([None] * (dimensions + 2), tf.float32)] * 2

    @tf.function(input_signature=shapes)
    def convolve(frames, kernel):
        return tf.nn.convolution(frames, kernel, strides, padding)

    @tf.function(input_signature=[*shapes, tf.TensorSpec([None], tf.float32)])
    def convolve_and_add(frames, kernel, bias):
        return tf.nn.bias_add(convolve(frames, kernel), bias)

    # The concrete functions: looking for the right one at each call takes as long as a small convolution.
    return convolve.get_concrete_function(), convolve_and_add.get_concrete_function()


@register_operator(ConvTransposeInc)
class ConvTransposeIncRule(ConvolutionRule):
    """Transposed convolution: each element of the input spreads a kernel over the output."""

    def prepare(self):
        # The padding that the convolution which this one transposes puts in front of its input.
        self._before = [
            max((n_in - 1) * stride + k - n_out, 0) // 2 if self.conv.padding == "same" else 0
            for n_in, n_out, k, stride in zip(self.in_shape, self.out_shape, self.kernel.shape, self.conv.strides)
        ]

    def compute(self, frames):
        leading, spatial = frames.shape[:2], self.in_shape[:-1]
        frames = frames.reshape((-1, math.prod(spatial), self.in_shape[-1]))
        sizes = [(n - 1) * s + k for n, s, k in zip(spatial, self.conv.strides, self.kernel.shape)]
        full = [max(size, before + n) for size, before, n in zip(sizes, self._before, self.out_shape)]
        out = np.zeros((len(frames), *full, self.out_shape[-1]), frames.dtype)
        for offset in np.ndindex(*self.kernel.shape[:-2]):
            where = [slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(offset, spatial, self.conv.strides)]
            # Frame by frame, so that the sum is rounded the same for any number of frames.
            part = np.matmul(frames, self.kernel[offset])
            out[(slice(None), *where)] += part.reshape((len(frames), *spatial, -1))
        crop = [slice(before, before + n) for before, n in zip(self._before, self.out_shape)]
        return np.ascontiguousarray(out[(slice(None), *crop)]).reshape((*leading, *self.out_shape))


def correlate(
    frame: np.ndarray, kernel: np.ndarray, strides: Sequence[int], padding: str, groups: int = 1
) -> np.ndarray:
    """Convolve one frame, in NumPy.

    Computes what `nengo.Convolution` means, for any number of dimensions: windows of the frame times the kernel as a
    matrix. With up to two dimensions it adds up in the same order as the reference simulator.

    Parameters
    ----------
    frame : ndarray of shape (*spatial, C)
        Input, channels last.
    kernel : ndarray of shape (*window, C / groups, F)
        Kernel; it is not flipped.
    strides : sequence of int
        Strides of the windows.
    padding : str
        "same" or "valid".
    groups : int
        Number of groups that channels are split into.

    Returns
    -------
    ndarray of shape (*spatial_out, F)
    """
    n_spatial = frame.ndim - 1
    window = kernel.shape[:n_spatial]
    if padding == "same":
        total = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, k, s in zip(frame.shape, window, strides)]
        frame = np.pad(frame, [(t // 2, t - t // 2) for t in total] + [(0, 0)])
    windows: np.ndarray = sliding_window_view(frame, window, axis=tuple(range(n_spatial)))  # type: ignore[call-overload]
    windows = windows[tuple(slice(None, None, s) for s in strides)]
    # (*spatial_out, C, *window) to (*spatial_out, *window, C)
    windows = np.moveaxis(windows, n_spatial, -1)
    out_spatial = windows.shape[:n_spatial]
    if groups == 1:
        columns, weights = windows.reshape((math.prod(out_spatial), -1)), kernel.reshape((-1, kernel.shape[-1]))
        return columns.dot(weights).reshape((*out_spatial, -1))
    columns = windows.reshape((math.prod(out_spatial), math.prod(window), groups, -1))
    weights = kernel.reshape((math.prod(window), kernel.shape[-2], groups, -1))
    # One axis to sum over, groups in front, as the reference has them.
    columns = np.moveaxis(columns, 2, 0).reshape((groups, len(columns), -1))
    weights = np.moveaxis(weights, 2, 0).reshape((groups, columns.shape[-1], -1))
    return np.einsum("gpj,gjf->pgf", columns, weights).reshape((*out_spatial, -1))
