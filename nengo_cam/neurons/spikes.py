"""What a spike is."""

from __future__ import annotations

from nengo.neurons import NeuronType

__all__ = ["spike_height"]


def spike_height(neuron_type: NeuronType, dt: float) -> float:
    """Return what a neuron gives out in a step in which it spikes once.

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
    return getattr(neuron_type, "amplitude", 1) / dt
