"""Input that moves, and neurons that remember what was shown before."""

from __future__ import annotations

import warnings

from ..checks.callers import user_stacklevel
from ..checks.sources import CheckedImages
from ..conversion.network import CAMNetwork
from ..exceptions import MovingInputWarning
from .decoding import network_readout

__all__ = ["lagging_neurons", "moves", "warn_of_lag"]

# Parameters of `IntegrateAndFire` and `SignedIntegrateAndFire` that bound what they remember.
_BOUNDS = ("floor", "memory")
#: Types that have one.
_BOUNDED = {"IntegrateAndFire", "SignedIntegrateAndFire"}


def moves(images: CheckedImages) -> bool:
    """Tell whether anything in images moves.

    Parameters
    ----------
    images : CheckedImages
        What a run is given.

    Returns
    -------
    bool
        Whether two frames of an image differ. Of a source, which is read later, whether it has frames.
    """
    if not images.moving or images.array is None:
        return images.moving
    return any(bool((film[1:] != film[:1]).any()) for film in images.array)


def lagging_neurons(net: CAMNetwork) -> list[str]:
    """Name the kinds of neurons of a network whose mean of spikes lags behind input that moves.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    list of str
        Types that send spikes of one size; of networks built by hand, where nobody averages, only those whose membrane
        remembers without bound. Not those whose ``floor`` or
        ``memory`` somebody has set, who knows what they wanted; nor those whose level is held at each step.
    """
    # Of a model of KerasSpiking the neurons are what it was trained with.
    if network_readout(net) == "level" or net.keeps_spikes:
        return []
    types = [ensemble.neuron_type for ensemble in net.spiking_layers.values()]
    if not net.has_cnn:
        # What stands for ReLU answers for all that came before. Of neurons that somebody chose for what they are, only
        # a membrane without bound lags: others forget by their leak, or as they rectify what comes in.
        types = [neurons for neurons in types if any(hasattr(neurons, bound) for bound in _BOUNDS)]
    return sorted({type(neurons).__name__ for neurons in types if not _forgets(neurons)})


def _forgets(neurons):
    """Tell whether somebody has bounded what a neuron remembers."""
    return any(getattr(neurons, bound, None) is not None for bound in _BOUNDS)


def warn_of_lag(net: CAMNetwork, images: CheckedImages) -> list[str]:
    """Warn, before anything runs, of neurons that show what was there some time ago.

    Parameters
    ----------
    net : CAMNetwork
        What will run.
    images : CheckedImages
        What it will be shown.

    Returns
    -------
    list of str
        The kinds of neurons that lag; none if nothing moves.

    Warns
    -----
    MovingInputWarning
        If there are some.
    """
    kinds = lagging_neurons(net)
    if not kinds or not moves(images):
        return []
    why = "send spikes of one size, whose mean remembers what was shown before: maps lag by tens of steps"
    remedy = "Convert with neurons=nengo_cam.SigmaDelta(bits=2, quantum=0.1), which follow in the step that shows it"
    if set(kinds) <= _BOUNDED:
        remedy += ", or bound what they remember: IntegrateAndFire by floor=, SignedIntegrateAndFire by memory="
    if not net.has_cnn:
        why = "remember what was shown before without bound: what was inhibited for a while stays silent for a while"
        remedy = "Bound it where the ensembles are made: IntegrateAndFire by floor=, SignedIntegrateAndFire by memory="
    warnings.warn(
        f"network of {net.head.model!r}: its input moves, and {' and '.join(kinds)} neurons {why} "
        f"(docs/calibration.md). {remedy}.",
        MovingInputWarning,
        stacklevel=user_stacklevel(),
    )
    return kinds
