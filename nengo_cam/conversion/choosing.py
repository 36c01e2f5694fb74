"""Which neurons carry a model: the choice of ``convert(neurons="auto")``, and what is said of one that will not do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from nengo.neurons import NeuronType
from numpy.typing import NDArray

from .. import compat
from ..checks.parameters import CNN_MINIBATCH
from ..models.graph import inference_arguments, run_calls
from ..models.outputs import activation_name
from ..models.simplify import ReducedModel, reduced_logits
from ..models.simplify.clipping import max_value_of
from ..neurons import SigmaDelta, SignedIntegrateAndFire

__all__ = [
    "AUTO",
    "UNIT_LAYERS",
    "NeuronChoice",
    "choose_neurons",
    "count_rectified",
    "rounded_agreement",
    "why_not_carried",
]

#: What ``convert(neurons=)`` takes to choose by itself.
AUTO = "auto"
#: Most rectified layers for which spikes of one size are chosen, and which they carry without a sign.
UNIT_LAYERS = 5
#: Most rectified layers that spikes of one size and either sign carry at 200 Hz.
SIGNED_LAYERS = 15
#: Times [s] in which spikes of one size have to tell the answer, and the fraction of the sample images whose answer has
#: to stay when activity is rounded to the levels that they tell in those: the 100 steps of 1 ms that are usual, and
#: half of them, as the first ones belong to the transient.
TELLING_TIMES = (0.05, 0.1)
STAYING_FRACTION = 0.98
#: Most sample images that are tried.
_MOST_SAMPLES = 200
#: Quantum [Hz] of the levels that are chosen: at 200 Hz, strong activity is 2,000 of them. With 200 (a quantum of 1) a
#: MobileNet answered otherwise than its CNN for one photograph in ten, for a quarter fewer spikes.
HELD_QUANTUM = 0.1
#: Rate [Hz] at which a hundred steps of 1 ms tell apart the 200 levels that a deep network needs.
FULL_RATE = 2000
#: Layers without an option ``activation`` that are not linear in what they are given, or not for certain.
_NONLINEAR = {"ELU", "Lambda", "LeakyReLU", "Maximum", "Minimum", "Multiply", "PReLU", "ThresholdedReLU"}


@dataclasses.dataclass(frozen=True, eq=False)
class NeuronChoice:
    """Neurons that were chosen for a model.

    Attributes
    ----------
    neurons : nengo.neurons.NeuronType
        What replaces ReLU units.
    sentence : str
        What was chosen and why, without a full stop: ``"chosen: SigmaDelta(bits=2, quantum=0.1), as ..."``.
    """

    neurons: NeuronType
    sentence: str


def choose_neurons(
    reduced: ReducedModel,
    *,
    scales: Mapping[str, float] | None = None,
    images: NDArray[np.floating] | None = None,
    moving: bool = False,
    max_to_avg_pool: bool = False,
) -> NeuronChoice:
    """Choose the neurons that carry a model: by the number of its rectified layers, and by sample images.

    Spikes of one size tell apart as many levels as a neuron fires times, and every rectified layer adds to the error.
    So `SignedIntegrateAndFire` is chosen for up to `UNIT_LAYERS` rectified layers, and `SigmaDelta` for more. It is
    chosen too if a layer behind spiking ones is neither linear nor a ReLU, such as max pooling, or a Lambda layer or
    one of a user's own, of which nobody knows: of neurons whose level is held such a layer sees the activity, of others
    single spikes. And it is chosen if the answers to sample images hang on more levels than equal spikes tell in
    `TELLING_TIMES`: if they do not stay when the CNN's activity is rounded to those; and if images move, as spikes of
    one size and their mean remember what was shown before. docs/calibration.md has figures.

    Parameters
    ----------
    reduced : nengo_cam.models.simplify.ReducedModel
        The model, reduced to what inference needs.
    scales : dict of {str: float}, optional
        Firing rate per unit of activity [Hz] of each rectified layer of ``reduced``; with ``images``.
    images : ndarray of shape (N, Y, X, channels), optional
        Sample images, checked by the caller; at most 200 of them, evenly spread, are tried. Without them, layers alone
        decide.
    moving : bool
        Whether the images are frames of such as move.
    max_to_avg_pool : bool
        Whether the network averages where the model takes the largest.

    Returns
    -------
    NeuronChoice
        The same for the same arguments; without images the same for the same layers, whatever their weights.

    Examples
    --------
    >>> from nengo_cam.conversion.choosing import choose_neurons
    >>> print(choose_neurons(net.reduced).sentence)
    chosen: SignedIntegrateAndFire(negative_threshold=0.25), as spikes of one size carry 5 rectified layers
    """
    n_layers, others = count_rectified(reduced), _other_nonlinear(reduced, max_to_avg_pool)
    layers = f"{n_layers} rectified layer{'' if n_layers == 1 else 's'}"
    reason = ""
    if n_layers > UNIT_LAYERS:
        reason = f"spikes of one size do not carry {layers}, but at most {UNIT_LAYERS} for certain"
    elif others:
        reason = f"{', '.join(map(repr, others))} would see single spikes instead of activity"
    elif moving:
        reason = "the images move, and spikes of one size remember what was shown before"
    elif scales is not None and images is not None:
        samples = images[:: max(1, -(-len(images) // _MOST_SAMPLES))]
        staying, time = min((rounded_agreement(reduced, scales, samples, time), time) for time in TELLING_TIMES)
        if staying < STAYING_FRACTION:
            reason = (
                f"rounded to what spikes of one size tell in {1000 * time:g} ms, the CNN answers {staying:.2f} of the "
                "sample images as before"
            )
    if not reason:
        neurons = "SignedIntegrateAndFire(negative_threshold=0.25)"
        return NeuronChoice(
            SignedIntegrateAndFire(negative_threshold=0.25),
            f"chosen: {neurons}, as spikes of one size carry {layers}",
        )
    return NeuronChoice(
        SigmaDelta(bits=2, quantum=HELD_QUANTUM), f"chosen: SigmaDelta(bits=2, quantum={HELD_QUANTUM}), as {reason}"
    )


def rounded_agreement(
    reduced: ReducedModel, scales: Mapping[str, float], images: NDArray[np.floating], duration: float
) -> float:
    """Say how many answers stay if activity is rounded to whole spikes.

    The count of the best neurons that send equal spikes is that rounding, so that no rate code does better than the
    CNN does with it.

    Parameters
    ----------
    reduced : nengo_cam.models.simplify.ReducedModel
        The model, scaled as its spiking twin will be.
    scales : dict of {str: float}
        Firing rate per unit of activity [Hz] of each rectified layer.
    images : ndarray of shape (N, Y, X, channels)
        Sample images.
    duration : float
        Time in which spikes are counted [s].

    Returns
    -------
    float
        Fraction of the images, from 0 to 1. A single logit answers by its sign.
    """
    tf = compat.import_tensorflow()

    def apply(_, call, args, kwargs):
        output = call.layer(*args, **inference_arguments(call.layer, kwargs))
        if max_value_of(call.layer) is None:
            return output
        spikes_per_unit = scales[call.layer.name] * duration
        return tf.round(output * spikes_per_unit) / spikes_per_unit

    (logits_key,) = reduced.flat.outputs
    rounded = []
    for start in range(0, len(images), CNN_MINIBATCH):
        for call, outputs in run_calls(
            reduced.flat, tf.convert_to_tensor(images[start : start + CNN_MINIBATCH]), apply
        ):
            if logits_key in call.outputs:
                rounded.append(outputs[call.outputs.index(logits_key)].numpy())
    exact = reduced_logits(reduced.model, images, CNN_MINIBATCH)
    return float((_winners(np.concatenate(rounded).reshape(exact.shape)) == _winners(exact)).mean())


def _winners(logits):
    return logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)


def count_rectified(reduced: ReducedModel) -> int:
    """Count the layer calls that end in a plain or clipped ReLU; a layer that is called again counts again.

    Parameters
    ----------
    reduced : nengo_cam.models.simplify.ReducedModel
        The model, reduced to what inference needs.

    Returns
    -------
    int
        Their number.
    """
    return sum(max_value_of(call.layer) is not None for call in reduced.flat.calls)


def why_not_carried(neurons: NeuronType, n_layers: int, target_rate: float) -> str | None:
    """Say why neurons will not carry a network, if they will not.

    Parameters
    ----------
    neurons : nengo.neurons.NeuronType
        A type.
    n_layers : int
        Rectified layers of the network.
    target_rate : float
        Firing rate of strong activity [Hz].

    Returns
    -------
    str or None
        A sentence with the figures and a remedy. None if they will do, or do not spike.
    """
    if not neurons.spiking or isinstance(neurons, SigmaDelta):
        return None
    if neurons.negative:
        # Higher rates tell more levels apart, and signed spikes take back what came too soon.
        carried = n_layers <= SIGNED_LAYERS or target_rate >= FULL_RATE
        limit, figures = SIGNED_LAYERS, "MobileNet, which has 27, answered as its CNN for 20 % of photographs"
    else:
        # A higher rate does not help: what unsigned neurons fired too much they cannot take back.
        carried = n_layers <= UNIT_LAYERS
        limit, figures = UNIT_LAYERS, "a ResNet of 7 answered as its CNN for 30 % of images, a network of 13 for 18 %"
    if carried:
        return None
    return (
        f"{type(neurons).__name__} sends spikes of one size, which carry up to {limit} rectified layers at 200 Hz, and "
        f"this network has {n_layers}, at {target_rate:g} Hz: {figures} after 100 steps (docs/calibration.md). Use "
        f"neurons='auto', which is SigmaDelta(bits=2, quantum={HELD_QUANTUM}) here."
    )


def _other_nonlinear(reduced, max_to_avg_pool):
    """Name the layer calls that are neither linear nor a ReLU, and that something which spikes leads to."""
    found, behind_spikes = [], set()
    for name, call in zip(reduced.flat.call_names, reduced.flat.calls):
        is_rectified = max_value_of(call.layer) is not None
        # What stands in front of all neurons, such as a Lambda layer that scales pixels, sees the image.
        sees_spikes = not behind_spikes.isdisjoint(call.inputs)
        if is_rectified or sees_spikes:
            behind_spikes.update(call.outputs)
        averages = max_to_avg_pool and "MaxPool" in call.kind
        if sees_spikes and not is_rectified and not averages and not _is_linear(call):
            found.append(name)
    return found


def _is_linear(call):
    """Tell whether a layer call is known to be linear in what it is given."""
    # What functions and layers of a user's own compute cannot be read.
    own = type(call.layer).__module__.split(".")[0] not in ("keras", "tf_keras", "tensorflow")
    picks = "MaxPool" in call.kind or call.kind in _NONLINEAR
    return not own and not picks and activation_name(call.layer) == "linear"
