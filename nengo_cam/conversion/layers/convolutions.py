"""Convolutions with or without groups, depthwise ones, and Dense at every position, which is one of width 1."""

from __future__ import annotations

import math
from typing import Any

import nengo
import numpy as np

from .base import NativeConverter, converts, convolution, nengo_dl

__all__ = ["ConvertConvolution", "ConvertDense", "ConvertDepthwiseConvolution", "ConvertTransposedConvolution"]

_TRAINING_OPTIONS = nengo_dl.converter.ConvertConv2D.unsupported_training_args
_DEPTHWISE_OPTIONS = [*_TRAINING_OPTIONS, "depthwise_regularizer", "depthwise_constraint"]


@converts("Conv1D", "Conv2D", "Conv3D")
class ConvertConvolution(NativeConverter):
    """A convolution in front of a node or neurons, with a bias per channel.

    What NengoDL makes of it, with less work for the bias; see `NativeConverter.add_channel_bias`.
    """

    has_weights = True
    unsupported_training_args = _TRAINING_OPTIONS

    def kernel_and_groups(self) -> tuple[np.ndarray, int]:
        """Return the kernel (*window, C / groups, F), and the number of groups."""
        return self.layer.kernel.numpy().copy(), self.layer.groups

    def transform(self, node_id: int) -> nengo.transforms.Transform:
        """Make the transform of a call of the layer."""
        kernel, groups = self.kernel_and_groups()
        return convolution(kernel, self.input_shape(node_id), groups=groups, **self.options())

    def options(self) -> dict[str, Any]:
        """Return what all convolutions have."""
        return {
            "strides": self.layer.strides,
            "padding": self.layer.padding,
            "channels_last": self.layer.data_format == "channels_last",
        }

    def convert(self, node_id: int) -> Any:
        output = self.add_nengo_obj(node_id, activation=self.layer.activation)
        if self.layer.use_bias:
            channels_last = self.options()["channels_last"]
            self.add_channel_bias(node_id, output, self.layer.bias.numpy().copy(), channels_last=channels_last)
        self.add_convolution(node_id, output, self.transform(node_id), trainable=True)
        return output

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        if any(rate != 1 for rate in layer.dilation_rate):
            return False, f"{layer.name}.dilation_rate has value {layer.dilation_rate}, which is not supported"
        if layer.padding not in ("same", "valid"):
            return False, f"{layer.name}.padding has value {layer.padding!r}, which is not supported"
        return super().convertible(layer, converter)


@converts("DepthwiseConv1D", "DepthwiseConv2D")
class ConvertDepthwiseConvolution(ConvertConvolution):
    """A convolution with one group for each input channel."""

    unsupported_training_args = _DEPTHWISE_OPTIONS

    def kernel_and_groups(self) -> tuple[np.ndarray, int]:
        """Return the kernel (*window, 1, C * multiplier), and C."""
        kernel = self.layer.depthwise_kernel.numpy().copy()
        *window, n_channels, multiplier = kernel.shape
        return kernel.reshape((*window, 1, n_channels * multiplier)), n_channels


@converts("Conv1DTranspose", "Conv2DTranspose")
class ConvertTransposedConvolution(ConvertConvolution):
    """A convolution the other way round: each element of the input spreads the kernel over the output."""

    def transform(self, node_id: int) -> nengo.transforms.Transform:
        """Make the transform of a call of the layer."""
        # Keras has the channels as they are in the convolution that is transposed.
        kernel = np.swapaxes(self.layer.kernel.numpy().copy(), -1, -2)
        return nengo.ConvolutionTranspose(
            kernel.shape[-1],
            self.input_shape(node_id),
            output_shape=self.output_shape(node_id),
            kernel_size=kernel.shape[:-2],
            init=kernel,
            **self.options(),
        )

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        if layer.output_padding is not None:
            return False, f"{layer.name}.output_padding has value {layer.output_padding}, which is not supported"
        return super().convertible(layer, converter)


@converts("Dense")
class ConvertDense(NativeConverter, nengo_dl.converter.ConvertDense):
    """A matrix, or the same matrix at every position if there are several."""

    def convert(self, node_id: int) -> Any:
        *positions, n_in = self.input_shape(node_id)
        n_positions = math.prod(positions)
        if n_positions == 1:
            return nengo_dl.converter.ConvertDense.convert(self, node_id)
        output = self.add_nengo_obj(node_id, activation=self.layer.activation)
        if self.layer.use_bias:
            self.add_channel_bias(node_id, output, self.layer.bias.numpy().copy())
        # Positions in one row, whatever their number of axes: the reference simulator has two at most.
        kernel = self.layer.kernel.numpy().copy()[None]
        transform = convolution(kernel, (n_positions, n_in), strides=(1,), padding="valid")
        self.add_convolution(node_id, output, transform, trainable=True)
        return output
