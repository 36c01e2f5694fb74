"""Synapses that lead on from each neuron of a converted network.

A *synapse* is a way along weights that are not zero from one neuron to another neuron or to an output. Nodes that only
pass values on (pooling, sums, selections) are no stations: they are linear, so a spike goes through them to what lies
behind, as it does on hardware that has nothing but neurons and synapses. A neuron that reaches another on two ways, by
windows of pooling that overlap or by two branches that are added, has two synapses there.
"""

from __future__ import annotations

from typing import Any, NoReturn

import nengo
import numpy as np
from numpy.typing import NDArray

from ..conversion.network import CAMNetwork
from ..conversion.report import call_name
from ..conversion.transforms import convolution_transposed, sparse_matrix
from ..exceptions import UnsupportedModelError
from .arguments import check_network
from .map_operator import FeaturesToMaps

__all__ = ["SynapseCounter", "analog_fan_out", "fan_out"]


def fan_out(net: CAMNetwork) -> dict[str, NDArray[np.int64]]:
    """Count the synapses that lead on from each neuron that spikes.

    Exact at the edges: where a window hangs over the edge of the map, or strides leave cells out, neurons have fewer.

    Parameters
    ----------
    net : CAMNetwork
        A converted network.

    Returns
    -------
    dict of {str: ndarray of shape (neurons,)}
        Synapses of each neuron, by the name of the layer; neurons in the order in which they lie in the layer's output.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    UnsupportedModelError
        If spikes go into a TensorNode, a function or a transform whose weights are not known.
    """
    counter = _counter(net)
    return {name: counter.from_neurons(ensemble).astype(np.int64) for name, ensemble in net.spiking_layers.items()}


def analog_fan_out(net: CAMNetwork) -> dict[str, NDArray[np.int64]]:
    """Count the synapses that lead on from each element of what gives out values instead of spikes.

    Parameters
    ----------
    net : CAMNetwork
        A converted network.

    Returns
    -------
    dict of {str: ndarray of shape (size,)}
        Those of the image, by the name of the input, and of layers of neurons that do not spike.

    Raises
    ------
    ModelTypeError, UnsupportedModelError
        As for `fan_out`.
    """
    counter = _counter(net)
    rate = {name: layer for name, layer in net.neuron_layers.items() if not layer.neuron_type.spiking}
    return {
        call_name(net.input.label): counter.through(net.input).astype(np.int64),
        **{name: counter.from_neurons(ensemble).astype(np.int64) for name, ensemble in rate.items()},
    }


def _counter(net: CAMNetwork) -> SynapseCounter:
    check_network(net)
    return SynapseCounter(net.net, net.head.model)


class SynapseCounter:
    """Counts synapses from the targets back: a vector of counts goes through each transform transposed.

    Parameters
    ----------
    net : nengo.Network
        A network without cycles of nodes.
    name : str
        What to call it in errors.
    """

    def __init__(self, net: nengo.Network, name: str) -> None:
        self._name = name
        self._outgoing: dict[Any, list[nengo.Connection]] = {}
        for connection in net.all_connections:
            # Who looks at the network is no part of it, nor is what lies behind.
            if isinstance(connection.post_obj, FeaturesToMaps):
                continue
            self._outgoing.setdefault(connection.pre_obj, []).append(connection)
        self._known: dict[Any, NDArray[np.float64]] = {}
        self._begun: list[Any] = []

    def from_neurons(self, ensemble: nengo.Ensemble) -> NDArray[np.float64]:
        """Count the synapses of each neuron (neurons,)."""
        if self._outgoing.get(ensemble):
            self._refuse(f"values are decoded from {ensemble.label!r}", "connections from neurons", "an ensemble")
        return self.through(ensemble.neurons)

    def through(self, obj: Any) -> NDArray[np.float64]:
        """Count the synapses behind each element that an object gives out (size,)."""
        if obj not in self._known:
            if any(obj is begun for begun in self._begun):
                self._refuse(f"{obj!r} leads back to itself by nodes only", "ways that end", "a circle")
            self._begun.append(obj)
            counts = np.zeros(obj.size_out)
            for connection in self._outgoing.get(obj, ()):
                if connection.function is not None:
                    self._refuse(f"a function is computed from {obj!r}", "weights", "a function")
                arriving = self._arriving(connection.post_obj)[connection.post_slice]
                np.add.at(counts, connection.pre_slice, self._transposed(connection.transform, arriving))
            self._known[obj] = counts
        return self._known[obj]

    def _arriving(self, target: Any) -> NDArray[np.float64]:
        """Count the synapses that an element coming in means: one at a neuron or an output, else what lies behind."""
        if isinstance(target, nengo.ensemble.Neurons):
            return np.ones(target.size_in)
        if not isinstance(target, nengo.Node) or target.output is not None:
            kind = type(target).__name__
            self._refuse(f"{getattr(target, 'label', target)!r} computes a function", "neurons and weights", kind)
        return self.through(target) if target in self._outgoing else np.ones(target.size_in)

    def _transposed(self, transform: Any, arriving: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take counts from what a transform gives out to what it takes, each weight that is not zero as 1."""
        kind = type(transform)
        if kind is nengo.transforms.NoTransform:
            return arriving
        if kind not in (nengo.Dense, nengo.Sparse, nengo.Convolution, nengo.ConvolutionTranspose):
            known = "Dense, Sparse, Convolution or ConvolutionTranspose"
            self._refuse("the weights of a transform are not known", known, kind.__name__)
        # Converted weights are arrays, so that nothing is drawn; Nengo asks for a generator all the same.
        weights = transform.sample(rng=np.random.RandomState(0))
        if kind is nengo.Sparse:
            return (sparse_matrix(weights) != 0).astype(float).T @ arriving
        present = (np.asarray(weights) != 0).astype(float)
        if kind is nengo.Dense:
            return present.T @ arriving if present.ndim == 2 else present * arriving
        return convolution_transposed(transform, present, arriving)

    def _refuse(self, what: str, expected: str, got: str) -> NoReturn:
        raise UnsupportedModelError(
            f"network of {self._name!r}: {what}, so that synapses cannot be counted; expected {expected}, got {got}. "
            "Replace the layer by one that becomes native, see net.report."
        )
