"""The layers of neurons of a network, and what their output means: spikes, or activity in units of the source model.

A neuron that spikes once gives out the spike's *height* in that step, so that its mean over time is an activity. That
is the activity of the reduced model, whose channels `nengo_cam.models.simplify.balance_channels` may have multiplied by
factors; divided by them, it is in the units of the model that was converted.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..conversion.convert import CAMNetwork
from ..conversion.report import call_name
from ..exceptions import ParameterError, SimulatorError
from ..neurons import spike_height

__all__ = ["Decoder", "choose_layers", "feature_decoder", "layer_decoder", "neuron_layers", "probed", "whole_counts"]

#: From here on neighboring numbers in double precision are more than 1 apart: nothing can be counted.
_MOST_COUNTED = 2.0**53


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
    """Says what the output of a layer means.

    Attributes
    ----------
    height : float or None
        Output of a neuron in a step in which it spikes once; None for what does not spike.
    factors : ndarray of shape (K,), or (1,) for all channels alike
        What the activity of each channel was multiplied by.
    """

    height: Any
    factors: NDArray[np.floating]

    def activity(self, output: NDArray[np.floating]) -> NDArray[np.floating]:
        """Undo the factors of the channels.

        Parameters
        ----------
        output : ndarray of shape (..., n)
            Output of the layer, or sums of it; channels vary fastest along the last axis.

        Returns
        -------
        ndarray of shape (..., n)
            The same in the units of the source model.
        """
        by_channel = output.reshape(*output.shape[:-1], -1, len(self.factors))
        return (by_channel / self.factors).reshape(output.shape)

    def spikes(self, output: NDArray[np.floating]) -> NDArray[np.floating]:
        """Count the spikes of each neuron in each step.

        Parameters
        ----------
        output : ndarray
            Output of neurons that spike.

        Returns
        -------
        ndarray of the same shape and dtype
            Whole numbers, negative for spikes that were taken back.
        """
        return np.rint(output / self.height)

    def spike_totals(self, output: NDArray[np.floating]) -> NDArray[np.float64]:
        """Count the spikes of all neurons together in each step; one of either sign counts.

        Parameters
        ----------
        output : ndarray of shape (..., neurons)
            Output of neurons that spike.

        Returns
        -------
        ndarray of shape (...)
            Counts up to rounding, see `whole_counts`.
        """
        # Divided after the sum: an array of the size of a chunk less.
        return np.abs(output).sum(axis=-1, dtype=float) / self.height


def layer_decoder(net: CAMNetwork, name: str, dt: float) -> Decoder:
    """Say what the output of a layer of neurons means.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    name : str
        Name of the layer, of `neuron_layers`.
    dt : float
        Time step [s].

    Returns
    -------
    Decoder
    """
    ensemble = neuron_layers(net)[name]
    # NengoDL's label is the layer's name, a dot and the number of the call; factors belong to the layer, not to a call.
    factors = np.asarray(net.channel_factors.get(ensemble.label.rpartition(".")[0], [1.0]))
    return Decoder(spike_height(ensemble.neuron_type, dt) if ensemble.neuron_type.spiking else None, factors)


def feature_decoder(net: CAMNetwork) -> Decoder:
    """Say what the pooled features mean; they are not counted in spikes, as a filter may stand in between.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    Decoder
        Single precision, as all but `nengo.Simulator` run in.
    """
    return Decoder(None, net.feature_factors.astype(np.float32))


def neuron_layers(net: CAMNetwork) -> dict[str, nengo.Ensemble]:
    """Find the layers of neurons, spiking and not.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    dict of {str: nengo.Ensemble}
        By the name of the layer, in the order of the network; a layer that is called again has a number behind it.
    """
    return {call_name(ensemble.label): ensemble for ensemble in net.net.all_ensembles}


def choose_layers(net: CAMNetwork, names: Iterable[str]) -> dict[str, nengo.Ensemble]:
    """Find layers of neurons by name.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    names : str or iterable of str
        Which layers; one that comes again counts once.

    Returns
    -------
    dict of {str: nengo.Ensemble}
        In the order of the network, whatever that of the names.

    Raises
    ------
    ParameterError
        If a name is not that of a layer of neurons.
    """
    valid = neuron_layers(net)
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in valid]
    if unknown:
        raise ParameterError(
            f"observe: {unknown[0]!r} is not a layer of neurons of the network of {net.model.name!r}; expected some of "
            f"{list(valid)}, got {unknown[0]!r}. Choose some of these."
        )
    return {name: ensemble for name, ensemble in valid.items() if name in wanted}


@contextlib.contextmanager
def probed(net: CAMNetwork, layers: dict[str, nengo.Ensemble]) -> Iterator[dict[str, nengo.Probe]]:
    """Probe layers of neurons while a simulator is made; the network is then as it was.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    layers : dict of {str: nengo.Ensemble}
        Layers of it by name.

    Yields
    ------
    dict of {str: nengo.Probe}
        Unfiltered probes of the neurons' output.
    """
    with net.probed_neurons(layers) as probes:
        yield probes


def whole_counts(values: ArrayLike) -> NDArray[np.int64]:
    """Make whole numbers of counts of spikes that were added up in floating point.

    Parameters
    ----------
    values : array_like of float
        Whole numbers, but for the rounding of what was added up.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    SimulatorError
        If there are more than can be counted.
    """
    values = np.asarray(values, float)
    # Not "values >= limit": NaN must fail. The conversion itself makes negative numbers of what is too large.
    if not (np.abs(values) < _MOST_COUNTED).all():
        raise SimulatorError(
            f"spikes: there are too many to be counted; expected fewer than {_MOST_COUNTED:.0e} in a step, got "
            f"{np.max(np.abs(values)):.0e}. Scale the images as the model was trained."
        )
    return np.rint(values).astype(np.int64)
