"""The layers of neurons of a network, and what their output means: spikes, or activity in units of the source model.

A neuron that sends spikes of one size gives out the spike's *height* in that step, so that its mean over time is an
activity; one whose level receivers hold gives out the level, which is one at each step (`nengo_cam.neurons.spikes`).
That is the activity of the reduced model, whose channels `nengo_cam.models.simplify.balance_channels` may have
multiplied by factors; divided by them, it is in the units of the model that was converted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..conversion.network import CAMNetwork
from ..exceptions import ParameterError, SimulatorError
from ..neurons import SpikeCode, spike_code

__all__ = [
    "Decoder",
    "SpikeReader",
    "choose_layers",
    "distinct_steps",
    "feature_decoder",
    "layer_decoder",
    "network_readout",
    "neuron_layers",
    "spike_kinds",
    "whole_counts",
]

#: From here on neighboring numbers in double precision are more than 1 apart: nothing can be counted.
_MOST_COUNTED = 2.0**53


@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
    """Says what the output of a layer means.

    Attributes
    ----------
    code : SpikeCode or None
        How neurons of the layer tell their activity; None for what does not spike.
    factors : ndarray of shape (K,), or (1,) for all channels alike
        What the activity of each channel was multiplied by.
    """

    code: SpikeCode | None
    factors: NDArray[np.floating]

    @property
    def held(self) -> bool:
        """Whether spikes are changes of the output, as receivers hold the level."""
        return self.code is not None and self.code.held

    @property
    def height(self) -> Any:
        """Output of a neuron in a step in which it spikes once, or of one quantum; None for what does not spike."""
        return None if self.code is None else self.code.height

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

    def sizes(self, output: NDArray[np.floating], before: NDArray[np.floating] | None = None) -> NDArray[np.floating]:
        """Find what each neuron sent in each step.

        Parameters
        ----------
        output : ndarray of shape (..., steps, neurons)
            Output of neurons that spike.
        before : ndarray of shape (..., neurons), optional
            Output at the step before the first; None for the start of a run. It matters where levels are held only.

        Returns
        -------
        ndarray of shape (..., steps, neurons)
            Whole numbers [spikes or quanta], negative for what is taken back. Where levels are held in double
            precision, else in that of the output.
        """
        code: Any = self.code
        # Of spikes of one size as `SpikeCode.sizes` has it, in the simulator's own precision: half the memory.
        return code.sizes(output, before) if self.held else np.rint(output / self.height)

    def events(self, sizes: NDArray[np.floating]) -> NDArray[np.floating]:
        """Count what was sent, of either sign, of `sizes`: single spikes of one size, or one for each change."""
        code: Any = self.code
        return code.count_events(sizes) if self.held else np.abs(sizes)


class SpikeReader:
    """Reads the spikes of a layer chunk after chunk, and remembers the output before a chunk where levels are held.

    Parameters
    ----------
    decoder : Decoder
        What the layer's output means.

    Attributes
    ----------
    decoder : Decoder
        As given.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._before: Any = None

    def sizes(self, steps: slice, output: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
        """Find what each neuron sent in each step, image by image: in double precision, a chunk is large.

        Parameters
        ----------
        steps : slice
            The steps, those after the last ones; from step 0 on other images begin.
        output : ndarray of shape (images, steps, neurons)
            What the neurons gave out.

        Yields
        ------
        ndarray of shape (steps or fewer, neurons)
            As of `Decoder.sizes`. At the steps that are left out at the end nothing was sent.
        """
        before = None if steps.start == 0 or not self.decoder.held else self._before
        if self.decoder.held:
            output = distinct_steps(output)
            if before is not None and output.shape[1] == 1 and np.array_equal(output[:, 0], before):
                # Settled: not worth a look at each image.
                output = output[:, :0]
            else:
                # A view would keep the chunk.
                self._before = output[:, -1].copy()
        for image, part in enumerate(output):
            yield self.decoder.sizes(part, None if before is None else before[image]) if len(part) else part

    def totals(self, steps: slice, output: NDArray[np.floating]) -> NDArray[np.float64]:
        """Count what all neurons together sent in each step, of either sign.

        Parameters
        ----------
        steps, output
            As for `sizes`.

        Returns
        -------
        ndarray of shape (2, images, steps)
            Events, and the sum of their sizes, up to rounding; see `whole_counts`.
        """
        if not self.decoder.held:
            # Divided after the sum: an array of the size of a chunk less.
            spikes = np.abs(output).sum(axis=-1, dtype=float) / self.decoder.height
            return np.stack([spikes, spikes])
        totals = np.zeros((2, *output.shape[:2]))
        for image, sizes in enumerate(self.sizes(steps, output)):
            totals[0, image, : len(sizes)] = self.decoder.events(sizes).sum(axis=-1)
            totals[1, image, : len(sizes)] = np.abs(sizes).sum(axis=-1)
        return totals


def distinct_steps(output: NDArray[Any]) -> NDArray[Any]:
    """Leave out steps that are the first one over again.

    Parameters
    ----------
    output : ndarray of shape (images, steps, ...)
        Part of a chunk.

    Returns
    -------
    ndarray of shape (images, steps or 1, ...)
        One step of copies that take no memory, as which `nengo_cam.Simulator` gives steps that have settled.
    """
    return output[:, :1] if output.strides[1] == 0 else output


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
    factors = np.asarray(net.channel_factors.get((ensemble.label or "").rpartition(".")[0], [1.0]))
    return Decoder(spike_code(ensemble.neuron_type, dt), factors)


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


def network_readout(net: CAMNetwork) -> str:
    """Say how maps and logits are read.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    str
        "mean" if they are averaged over time: the pooled features are spikes, or follow from spikes. "level" if those
        of a step are an estimate by themselves: the features are levels that are held, or nothing spikes.
    """
    incoming: dict[Any, list[Any]] = {}
    for connection in net.net.all_connections:
        incoming.setdefault(connection.post_obj, []).append(connection.pre_obj)
    # Back from what is pooled to the first neurons that spike; what does not spike moves as its input does.
    waiting, seen = [net.features.obj], set()
    while waiting:
        obj = waiting.pop()
        if obj in seen:
            continue
        seen.add(obj)
        # What an ensemble represents is decoded from its neurons, and either may be driven.
        ensemble = obj.ensemble if isinstance(obj, nengo.ensemble.Neurons) else obj
        is_neural = isinstance(ensemble, nengo.Ensemble)
        code = spike_code(ensemble.neuron_type, 1.0) if is_neural else None
        if code is None:
            sources = (ensemble, ensemble.neurons) if is_neural else (obj,)
            waiting.extend(pre for source in sources for pre in incoming.get(source, ()))
        elif not code.held:
            return code.readout
    return "level"


def spike_kinds(net: CAMNetwork) -> str:
    """Say what the neurons of a network send.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    str
        "unit", "signed unit", "power of two" or "graded", or several of them joined by commas, in the order of the
        layers; "none" if nothing spikes.
    """
    codes = [spike_code(ensemble.neuron_type, 1.0) for ensemble in net.spiking_layers.values()]
    return ", ".join(dict.fromkeys(code.spike_kind for code in codes if code is not None)) or "none"


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
    return net.neuron_layers


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
            f"observe: {unknown[0]!r} is not a layer of neurons of the network of {net.head.model!r}; expected some of "
            f"{list(valid)}, got {unknown[0]!r}. Choose some of these."
        )
    return {name: ensemble for name, ensemble in valid.items() if name in wanted}


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
