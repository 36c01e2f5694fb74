"""What converters of this package share: a registry, and the ways in which they connect."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import nengo
import numpy as np
from numpy.typing import ArrayLike

from ... import compat

__all__ = ["CONVERTERS", "NativeConverter", "converts", "convolution", "pooling"]

if TYPE_CHECKING:
    import nengo_dl
else:
    nengo_dl = compat.import_nengo_dl()

#: Converters by the name of the Keras layer; None stands for layers that have none.
CONVERTERS: dict[str | None, Any] = {}

#: Whether Nengo has convolutions with groups; 3.2 has none, and tests play it.
HAS_GROUPS = hasattr(nengo.Convolution, "groups")


def converts(*layers: str | None) -> Callable[[type], type]:
    """Register a converter for Keras layers, within `registered` only.

    Parameters
    ----------
    *layers : str or None
        Names in ``tf.keras.layers``; None for layers that have no converter.

    Returns
    -------
    callable
        Decorator of a subclass of `nengo_dl.converter.LayerConverter`.
    """

    def decorate(converter):
        CONVERTERS.update(dict.fromkeys(layers, converter))
        return converter

    return decorate


class NativeConverter(nengo_dl.converter.LayerConverter):
    """A converter that makes nodes, neurons and connections, with what several layers need."""

    def add_selection(self, node_id: int, indices: ArrayLike) -> nengo.Node:
        """Add a node that takes some elements of the input, in some order.

        Parameters
        ----------
        node_id : int
            Which call of the layer.
        indices : array_like of int
            Elements of the flattened input.

        Returns
        -------
        nengo.Node
        """
        output = self.add_nengo_obj(node_id)
        source = self.get_input_obj(node_id)
        connection = nengo.Connection(source[np.ravel(indices)], output, synapse=self.synapse_after(source))
        self.set_trainable(connection, False)
        return output

    def add_convolution(
        self, node_id: int, output: Any, transform: nengo.transforms.Transform, *, trainable: bool = False
    ) -> None:
        """Connect the input to the output through a convolution.

        NengoDL joins convolutions of one shape that read the same input, as if they had no groups, and fails. So the
        second one that has groups reads a copy of the input.

        Parameters
        ----------
        node_id : int
            Which call of the layer.
        output : nengo.Node, nengo.ensemble.Neurons or nengo_dl.TensorNode
            Where it leads.
        transform : nengo.Convolution
            The convolution.
        trainable : bool
            Whether NengoDL may train its kernel.
        """
        source = self.get_input_obj(node_id)
        readers = [c for c in nengo.Network.context[-1].connections if c.pre_obj is source]
        if not (_has_groups(transform) and any(_has_groups(reader.transform) for reader in readers)):
            self.add_connection(node_id, output, transform=transform, trainable=trainable)
            return
        copy = nengo.Node(size_in=source.size_out, label=f"{self.layer.name}.{node_id}.input")
        self.add_connection(node_id, copy)
        connection = nengo.Connection(copy, output, transform=transform, synapse=None)
        self.set_trainable(connection, trainable)

    def add_channel_bias(self, node_id: int, output: Any, bias: np.ndarray, *, channels_last: bool = True) -> None:
        """Add one number per channel to the output, which NengoDL can train.

        NengoDL's own converter spreads the numbers by a product with a sparse matrix of one row per neuron, at every
        step and for all images. Here they are the kernel of a convolution of ones, one at each position.

        Parameters
        ----------
        node_id : int
            Which call of the layer.
        output : nengo.Node, nengo.ensemble.Neurons or nengo_dl.TensorNode
            What it is added to, of shape (*spatial, F) or (F, *spatial), flattened.
        bias : ndarray of shape (F,)
            What is added [the unit of the output].
        channels_last : bool
            Which of the two shapes it has.
        """
        label = f"{self.layer.name}.{node_id}"
        n_positions = output.size_in // len(bias)
        one = nengo.Node([1], label=f"{label}.bias")
        ones = nengo.Node(size_in=n_positions, label=f"{label}.bias_relay")
        spread = nengo.Connection(one, ones, transform=np.ones((n_positions, 1)), synapse=None)
        self.set_trainable(spread, False)
        shape = (n_positions, 1) if channels_last else (1, n_positions)
        transform = convolution(bias[None, None], shape, strides=(1,), padding="valid", channels_last=channels_last)
        self.set_trainable(nengo.Connection(ones, output, transform=transform, synapse=None), True)

    def synapse_after(self, source: Any) -> nengo.synapses.Synapse | None:
        """Return the filter behind an object: the converter's if it is neurons, otherwise none."""
        return self.converter.synapse if isinstance(source, nengo.ensemble.Neurons) else None


def convolution(
    kernel: np.ndarray, input_shape: tuple, *, strides: tuple, padding: str, channels_last: bool = True, groups: int = 1
) -> nengo.Convolution:
    """Make a convolution that all three simulators run.

    TensorFlow has no groups in three dimensions, nor has Nengo 3.2 in any: there the kernel gets zeros between groups.

    Parameters
    ----------
    kernel : ndarray of shape (*window, C / groups, F)
        Kernel; it is not flipped.
    input_shape : tuple of int
        (*spatial, C), or (C, *spatial).
    strides : tuple of int
        Strides of the windows.
    padding : str
        "same" or "valid".
    channels_last : bool
        Which of the two shapes the input has.
    groups : int
        Number of groups that channels are split into.

    Returns
    -------
    nengo.Convolution
    """
    options = {}
    if groups > 1 and _runs_groups(len(strides)):
        options["groups"] = groups
    elif groups > 1:
        kernel = _without_groups(kernel, groups)
    return nengo.Convolution(
        kernel.shape[-1],
        input_shape,
        kernel_size=kernel.shape[:-2],
        strides=strides,
        padding=padding,
        channels_last=channels_last,
        init=kernel,
        **options,
    )


def pooling(
    window: tuple, input_shape: tuple, *, strides: tuple, padding: str, channels_last: bool = True
) -> nengo.Convolution:
    """Make a convolution that takes, channel by channel, the sum over each window divided by the window's size.

    NengoDL's has an identity over channels at every position of the window: 784 x 256 x 256 numbers for a global
    average of 256 channels on 28 x 28 positions. With one group per channel it is 784 x 256, and where groups do not
    run, all positions share one identity.

    Parameters
    ----------
    window, input_shape, strides, padding, channels_last
        As for `convolution`.

    Returns
    -------
    nengo.Convolution
    """
    n_channels = input_shape[-1 if channels_last else 0]
    options: dict[str, Any] = {"strides": strides, "padding": padding, "channels_last": channels_last}
    if n_channels == 1 or _runs_groups(len(window)):
        kernel = np.full((*window, 1, n_channels), 1 / math.prod(window))
        return convolution(kernel, input_shape, groups=n_channels, **options)
    transform = nengo.Convolution(n_channels, input_shape, kernel_size=window, **options)
    identity = np.eye(n_channels) / math.prod(window)
    compat.set_read_only(transform, "init", np.broadcast_to(identity, (*window, *identity.shape)))
    return transform


def _runs_groups(dimensions):
    return HAS_GROUPS and dimensions < 3


def _has_groups(transform):
    return getattr(transform, "groups", 1) > 1


def _without_groups(kernel, groups):
    """Write a kernel with groups as one without: zeros where input and output are in different groups."""
    depth, width = kernel.shape[-2], kernel.shape[-1] // groups
    dense = np.zeros((*kernel.shape[:-2], depth * groups, kernel.shape[-1]), kernel.dtype)
    for group in range(groups):
        filters = slice(group * width, (group + 1) * width)
        dense[..., group * depth : (group + 1) * depth, filters] = kernel[..., filters]
    return dense
