"""Weights of a converted network as a simulator has them, in the form of the Keras layers that they came from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import nengo
import numpy as np

_WITH_KERNEL = (nengo.Dense, nengo.Convolution, nengo.ConvolutionTranspose)

if TYPE_CHECKING:
    from .network import CAMNetwork

__all__ = ["bias_source", "further_connections", "is_bias", "layer_weights", "trained_layers"]


def layer_weights(net: CAMNetwork, sim: Any) -> dict[str, list[np.ndarray]]:
    """Read the weights of all layers; the working part of `nengo_cam.CAMNetwork.layer_weights`.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator
        An open simulator of ``net.net``.

    Returns
    -------
    dict of {str: list of ndarray}
        By the name of the layer call.
    """
    arriving: dict[Any, list[nengo.Connection]] = {}
    for connection in net.net.all_connections:
        arriving.setdefault(connection.post_obj, []).append(connection)
    weights = {}
    for name, call in zip(net.reduced.flat.call_names, net.reduced.flat.calls):
        own = call.layer.get_weights()
        if own:
            obj = net.objects[name]
            weights[name] = _layer_weights(sim, obj, arriving, call, own)
    return weights


def trained_layers(net: CAMNetwork, sim: Any) -> list[str]:
    """Name the layers whose weights in a simulator are others than those of their model.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator
        An open simulator of ``net.net``.

    Returns
    -------
    list of str
        Names of layer calls, in the order in which they run; of differences beyond rounding.
    """
    found = []
    for name, weights in layer_weights(net, sim).items():
        own = net.reduced.layer(name).get_weights()
        if not all(map(_is_close, weights, own)):
            found.append(name)
    return found


def _is_close(weights, own):
    """Tell whether weights are the same up to rounding, such as that of a bias which gains multiplied."""
    return np.allclose(weights, own, rtol=1e-4, atol=1e-5 * np.abs(own).max(initial=0))


def further_connections(net: CAMNetwork) -> dict[str, list[nengo.Connection]]:
    """Find connections of a user's own into the neurons of layers.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    dict of {str: list of nengo.Connection}
        By the name of the layer, all that lead there if there are more than the model's, which are its input and its
        bias; of layers without further ones nothing.
    """
    found = {}
    for name, ensemble in net.neuron_layers.items():
        targets = (ensemble, ensemble.neurons)
        arriving = [c for c in net.net.all_connections if c.post_obj in targets and not is_bias(c)]
        if len(arriving) > 1:
            found[name] = arriving
    return found


def _layer_weights(sim, obj, arriving, call, own):
    """Return kernel and bias of a layer call from the connections that arrive at what stands for it."""
    at_obj = arriving.get(obj, [])
    kernels = [connection for connection in at_obj if not is_bias(connection)]
    if len(kernels) > 1:
        # Others are a user's own, and hardly have as many weights as the layer.
        kernels = [connection for connection in kernels if np.size(sim.data[connection].weights) == own[0].size]
    is_trained = re.fullmatch(r"(Depthwise)?Conv[123]D(Transpose)?|Dense", call.kind)
    if not is_trained or len(kernels) != 1 or type(kernels[0].transform) not in _WITH_KERNEL:
        # A TensorNode with the weights inside, or numbers that nothing trains.
        return own
    kernel = _kernel(np.asarray(sim.data[kernels[0]].weights), kernels[0].transform, call, own[0])
    biases = [connection for connection in at_obj if is_bias(connection)]
    if len(own) == 1:
        return [kernel]
    if biases:
        source = bias_source(biases[0], arriving.get(biases[0].pre_obj, []))
        return [kernel, np.reshape(sim.data[source].weights, own[1].shape)]
    # NengoDL gives the bias of a Dense layer to its neurons, multiplied by their gain.
    parameters = sim.data[obj.ensemble]
    return [kernel, np.reshape(parameters.bias / parameters.gain, own[1].shape)]


def is_bias(connection: nengo.Connection) -> bool:
    """Tell whether a connection brings a bias.

    Parameters
    ----------
    connection : nengo.Connection
        One that a converter made.

    Returns
    -------
    bool
        Whether it comes from a node that always says 1, or from one that passes that on to every position.
    """
    return re.search(r"\.(bias|bias_relay)$", getattr(connection.pre_obj, "label", None) or "") is not None


def bias_source(connection: nengo.Connection, others: Iterable[nengo.Connection]) -> nengo.Connection:
    """Return the connection whose weights are the bias.

    Parameters
    ----------
    connection : nengo.Connection
        One that `is_bias` says is a bias.
    others : iterable of nengo.Connection
        Those among which the one that feeds its source is found.

    Returns
    -------
    nengo.Connection
        The same, or the one in front of it: NengoDL's own converters spread the bias by a sparse matrix of ones.
    """
    if not isinstance(connection.transform, nengo.Sparse):
        return connection
    return next(other for other in others if other.post_obj is connection.pre_obj)


def _kernel(weights, transform, call, own):
    """Write the weights of a connection as the kernel of the Keras layer."""
    if isinstance(transform, nengo.Dense):
        return weights.T.reshape(own.shape)
    if isinstance(transform, nengo.ConvolutionTranspose):
        return np.swapaxes(weights, -1, -2).reshape(own.shape)
    if weights.size != own.size:
        # Written without groups: zeros stand between what belongs to different groups.
        n_groups = weights.size // own.size
        n_inputs, n_outputs = weights.shape[-2] // n_groups, weights.shape[-1] // n_groups
        blocks = [
            weights[..., group * n_inputs : (group + 1) * n_inputs, group * n_outputs : (group + 1) * n_outputs]
            for group in range(n_groups)
        ]
        weights = np.concatenate(blocks, axis=-1)
    return weights.reshape(own.shape)
