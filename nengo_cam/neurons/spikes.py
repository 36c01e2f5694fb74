"""What a spike is: how the output of a neuron type is read, and turned into events and their sizes."""

from __future__ import annotations

import dataclasses

import numpy as np
from nengo.neurons import NeuronType
from numpy.typing import ArrayLike, NDArray

from .sigma_delta import SigmaDelta

__all__ = ["SpikeCode", "spike_code", "spike_height"]


@dataclasses.dataclass(frozen=True)
class SpikeCode:
    """How neurons of a type tell their activity.

    Attributes
    ----------
    readout : str
        "mean" if the output averaged over time is the activity, as of all that send spikes of one size; "level" if the
        output at a step is the activity, as of those whose level receivers hold.
    spike_kind : str
        "unit", "signed unit", "power of two" or "graded": what is sent.
    height : float
        Output [the unit of the activation that the neurons stand for]: for one spike in a step, or of one quantum of
        the level.
    """

    readout: str
    spike_kind: str
    height: float

    @property
    def held(self) -> bool:
        """Whether receivers hold the level, so that spikes are changes of the output."""
        return self.readout == "level"

    def sizes(self, output: ArrayLike, before: ArrayLike | None = None) -> NDArray[np.float64]:
        """Find what was sent at each step.

        Parameters
        ----------
        output : array_like of shape (..., steps, neurons)
            What the neurons gave out, unfiltered and at all steps.
        before : array_like of shape (..., neurons), optional
            Output at the step before the first; None for the start of a run. It matters where levels are held only.

        Returns
        -------
        ndarray of shape (..., steps, neurons)
            Signed whole numbers [spikes or quanta], 0 where nothing was sent; of floating-point type, as counts may be
            larger than integers.
        """
        whole = np.rint(np.asarray(output, float) / self.height)
        if not self.held:
            return whole
        start = np.zeros_like(whole[..., :1, :])
        if before is not None:
            start += np.rint(np.asarray(before, float) / self.height)[..., None, :]
        # Of whole numbers: a difference of outputs would be rounded before it is counted.
        return np.diff(whole, axis=-2, prepend=start)

    def count_events(self, sizes: ArrayLike) -> NDArray[np.float64]:
        """Count the spikes that were sent.

        Parameters
        ----------
        sizes : array_like
            What `sizes` gives.

        Returns
        -------
        ndarray
            Events of either sign, of the same shape. Of spikes of one size there may be several in a step; a spike that
            has a size is one event, whatever that is.
        """
        sizes = np.asarray(sizes, float)
        return (sizes != 0).astype(float) if self.held else np.abs(sizes)


def spike_code(neuron_type: NeuronType, dt: float) -> SpikeCode | None:
    """Say how neurons of a type tell their activity.

    Parameters
    ----------
    neuron_type : nengo.neurons.NeuronType
        Any type.
    dt : float
        Time step [s].

    Returns
    -------
    SpikeCode or None
        None if they do not spike.
    """
    if not neuron_type.spiking:
        return None
    height = spike_height(neuron_type, dt)
    if isinstance(neuron_type, SigmaDelta):
        return SpikeCode("level", "power of two" if neuron_type.bits == 1 else "graded", height)
    return SpikeCode("mean", "signed unit" if neuron_type.negative else "unit", height)


def spike_height(neuron_type: NeuronType, dt: float) -> float:
    """Return what a neuron gives out in a step in which it spikes once; of a held level, what a quantum is worth.

    Parameters
    ----------
    neuron_type : nengo.neurons.NeuronType
        A spiking type.
    dt : float
        Time step [s].

    Returns
    -------
    float
        Output [the unit of the activation that the neurons stand for].
    """
    if isinstance(neuron_type, SigmaDelta):
        # Held, not sent once: the time step does not enter.
        return neuron_type.amplitude * neuron_type.quantum
    return getattr(neuron_type, "amplitude", 1) / dt
