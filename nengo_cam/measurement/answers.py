"""What a spiking network answers once it has settled, and whether its CNN answers the same."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import nengo
import numpy as np
from numpy.typing import NDArray

from ..checks.parameters import CNN_MINIBATCH
from ..checks.sources import FrameBatches
from ..conversion.choosing import AUTO, HELD_QUANTUM, UNIT_LAYERS, choose_neurons
from ..conversion.network import CAMNetwork
from ..conversion.report import spiked_tensor_nodes
from ..exceptions import AnswerWarning
from ..neurons import IntegrateAndFire, SigmaDelta
from .backends import Chunk
from .decoding import network_readout
from .recorder import Recorder
from .run import Run

__all__ = ["DIFFERING_SHARE", "Answers", "AnswersRecorder", "Cause", "likely_cause", "settled_by", "warn_of_answers"]

#: `AnswerWarning` is given if the network answers otherwise than its CNN for more than this share of the images.
DIFFERING_SHARE = 0.1
# Levels of activity that a MobileNet was measured to need; an MNIST network of 13 layers needs 16.
_LEVELS = 200
# Steps after which levels told in spikes of 1 bit had settled in a MobileNet of 27 layers (11, with 2 bits 6).
_STEPS_OF_ONE_BIT = 12
# Images that a warning names.
_NAMED = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """Answers of a spiking network and of the CNN that it came from.

    Attributes
    ----------
    spiking, cnn : ndarray of int of shape (N,), or None
        Index of the label that wins, for each image; with a single label and a sigmoid, 1 where that is above 1/2.
        None if the model has a single label without sigmoid: it answers by a number, and not by a choice.
    cnn_logits : ndarray of shape (N, L) or (N, n_steps, L)
        Logits of the CNN, for moving images at each step.
    """

    spiking: NDArray[np.int64] | None
    cnn: NDArray[np.int64] | None
    cnn_logits: NDArray[np.floating]

    @property
    def differing(self) -> NDArray[np.int64]:
        """Positions of the images that are answered otherwise."""
        return np.array([], int) if self.spiking is None else np.flatnonzero(self.spiking != self.cnn)


class AnswersRecorder(Recorder):
    """Finds the settled answer, and that of the CNN.

    Spikes are averaged: the mean of the logits of the last half of the run answers. Where levels are held, each step is
    an estimate, and the last one the best.
    """

    def begin(self, run: Run) -> None:
        """Forget the last run; see `Recorder.begin`.

        Parameters
        ----------
        run : Run
            The run that will feed it.

        Raises
        ------
        MissingCNNError
            If the network was built by hand.
        """
        run.net.require_cnn("AnswersRecorder")
        self._run = run
        self._from = run.n_steps - 1 if run.readout == "level" else run.n_steps // 2
        self._sums = np.zeros((len(run.images), run.net.head.n_labels))
        self._batches = FrameBatches(CNN_MINIBATCH)
        self._cnn_logits: list[NDArray[np.floating]] = []

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Record a chunk; see `Recorder.add`."""
        steps = range(chunk.steps.start, chunk.steps.stop)
        self._sums[rows] += chunk.logits[:, [step >= self._from for step in steps]].sum(axis=1, dtype=float)
        if chunk.steps.stop == self._run.n_steps:
            self._run_cnn(rows)

    def _run_cnn(self, rows: slice) -> None:
        """Run the CNN on images that are through, while they are in memory: one frame of each that stands still."""
        frames = self._run.frames(rows)
        is_last = rows.stop == len(self._run.images)
        for batch in self._batches.add(frames.reshape(-1, *frames.shape[2:]), last=is_last):
            self._cnn_logits.append(self._run.net.cnn_logits(batch))

    def result(self) -> Answers:
        """Return what both answer."""
        images = self._run.images
        logits = np.concatenate(self._cnn_logits)
        if images.moving:
            logits = logits.reshape(len(images), -1, logits.shape[-1])
        # Of input that moves, over the same steps as of the network.
        settled = logits[:, self._from :].mean(axis=1) if images.moving else logits
        activation = self._run.net.head.activation
        return Answers(_decide(self._sums, activation), _decide(settled, activation), logits)


def settled_by(readout: str, n_steps: int) -> str:
    """Say in words by which steps of a run a network answers.

    Parameters
    ----------
    readout : str
        "mean" or "level"; see `nengo_cam.measurement.decoding.network_readout`.
    n_steps : int
        Time steps.

    Returns
    -------
    str
        Words for a sentence.
    """
    return f"the last of {n_steps} steps" if readout == "level" else f"mean of the last half of {n_steps} steps"


def _decide(logits: NDArray[np.floating], activation: str) -> NDArray[np.int64] | None:
    """Choose a label for each image; None if there is no choice."""
    if logits.shape[1] > 1:
        return logits.argmax(axis=1)
    return (logits[:, 0] > 0).astype(int) if activation == "sigmoid" else None


def warn_of_answers(
    net: CAMNetwork,
    answers: Answers,
    names: Any,
    *,
    n_steps: int,
    dt: float,
    trained: bool = False,
    moving: bool = False,
    stacklevel: int = 3,
) -> None:
    """Warn if a network answers otherwise than its CNN for more than `DIFFERING_SHARE` of the images.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    answers : Answers
        What it answers, and its CNN.
    names : sequence
        Names or numbers of all labels.
    n_steps : int
        Time steps that it ran.
    dt : float
        Time step [s].
    trained : bool
        Whether its readout has other weights than its CNN's.
    moving : bool
        Whether it was shown another frame at each step.
    stacklevel : int
        Which caller the warning is for, as for `warnings.warn`.

    Warns
    -----
    AnswerWarning
        Names the images, the likely cause and the call that helps.
    """
    differing, spiking, cnn = answers.differing, answers.spiking, answers.cnn
    if spiking is None or cnn is None or len(differing) <= DIFFERING_SHARE * len(answers.cnn_logits):
        return
    valid = list(names) if len(names) > 1 else [False, True]
    listed = "; ".join(
        f"image {image}: {valid[spiking[image]]!s} instead of {valid[cnn[image]]!s}" for image in differing[:_NAMED]
    )
    more = f"; and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    cause = likely_cause(net, n_steps=n_steps, dt=dt, trained=trained, moving=moving)
    by = settled_by(network_readout(net), n_steps)
    warnings.warn(
        f"network of {net.model.name!r}: it answers otherwise than its CNN for {len(differing)} of "
        f"{len(answers.cnn_logits)} images ({by}; {listed}{more}), so their maps are those of another answer. "
        f"Likely, {cause.clause}. {cause.remedy}; measure_activity(net, images) says where they part.",
        AnswerWarning,
        stacklevel=stacklevel,
    )


@dataclasses.dataclass(frozen=True)
class Cause:
    """Why a network may answer otherwise than its CNN.

    Attributes
    ----------
    clause : str
        What is likely, a clause without a full stop.
    options : dict of {str: object}
        Options of `nengo_cam.convert` that help; empty if none does.
    instead : str
        What to do if none does, an imperative without a full stop.
    """

    clause: str
    options: dict[str, Any]
    instead: str = "Convert the model again"

    @property
    def remedy(self) -> str:
        """What to do about it in Python, an imperative without a full stop."""
        if not self.options:
            return self.instead
        # The images are a variable of the user's, names of neurons are strings.
        written = (f"{name}={value if name == 'calibrate_on' else repr(value)}" for name, value in self.options.items())
        return f"Convert with {', '.join(written)}"


def likely_cause(net: CAMNetwork, *, n_steps: int, dt: float, trained: bool = False, moving: bool = False) -> Cause:
    """Guess why a network answers otherwise than its CNN, from how it was converted.

    Parameters
    ----------
    net : CAMNetwork
        The network.
    n_steps : int
        Time steps that it ran.
    dt : float
        Time step [s].
    trained : bool
        Whether its readout has other weights than its CNN's.
    moving : bool
        Whether it was shown another frame at each step.

    Returns
    -------
    Cause
        The cause, and what helps.
    """
    kind, n_layers = type(net.neurons).__name__, len(net.spiking_layers)
    if trained:
        return Cause(
            "it was trained after conversion, as its readout has other weights than the CNN's",
            {},
            instead="Pass check_answers=False if it is meant to differ",
        )
    if not n_layers:
        return Cause("it was trained or changed after conversion, as nothing in it spikes", {})
    if net.adopted:
        return _cause_in_converter(net, n_steps=n_steps, dt=dt)
    if net.keeps_spikes:
        return Cause(
            f"its SpikingActivation layers fire as often as their activations say [Hz], and {n_steps} steps are "
            f"{n_steps * dt:g} s, so that weak activity has not told itself",
            {},
            instead="Raise n_steps, or replace these neurons: convert with "
            f"neurons=nengo_cam.SigmaDelta(bits=2, quantum={HELD_QUANTUM}), calibrate_on=images",
        )
    if net.rectifies_without_synapse:
        return Cause(f"{kind} rectifies its input at every step", {"neurons": AUTO})
    if isinstance(net.neurons, SigmaDelta):
        return _cause_of_levels(net, net.neurons, n_steps, moving)
    if net.target_rate is None:
        return Cause("its firing rates were not calibrated", {"calibrate_on": "images"})
    if net.tensor_nodes and net.synapse is None:
        # Where the choice would be spikes of one size, a synapse is what makes activity of them.
        held = isinstance(choose_neurons(net.reduced).neurons, SigmaDelta)
        options = {"neurons": AUTO} if held else {"synapse": 0.005}
        return Cause(f"the TensorNodes {list(net.tensor_nodes)} see single spikes", options)
    if not isinstance(net.neurons, (IntegrateAndFire, nengo.SpikingRectifiedLinear)):
        return Cause(f"the rates of {kind} are not those of a ReLU", {"neurons": AUTO})
    if moving:
        # However long it runs: what was shown before weighs as much as what is shown now.
        return Cause(
            f"its input moves, and {kind} neurons and the mean of their spikes remember what was shown before",
            {},
            instead="Convert with neurons=nengo_cam.SigmaDelta()",
        )
    levels = net.target_rate * n_steps * dt
    told = f"strong activity makes {levels:.3g} spikes in {n_steps} steps, so that no more levels can be told apart"
    if n_layers > UNIT_LAYERS:
        clause = f"{n_layers} layers of {kind} are too many to settle in time"
        return Cause(f"{clause}, and {told}" if levels < _LEVELS else clause, {"neurons": AUTO})
    return Cause(told, {"target_rate": round(max(1000, 2 * net.target_rate))})


def _cause_in_converter(net: CAMNetwork, *, n_steps: int, dt: float) -> Cause:
    """Guess why a network that a user converted answers otherwise than its CNN; what helps are NengoDL's options."""

    def cause(clause, remedy):
        return Cause(clause, {}, instead=f"{remedy}, or let nengo_cam.convert(model, calibrate_on=images) choose")

    types = {name: ensemble.neuron_type for name, ensemble in net.spiking_layers.items()}
    kinds = " and ".join(sorted({type(neurons).__name__ for neurons in types.values()}))
    skewed = sorted({type(neurons).__name__ for neurons in types.values() if not _fires_as_relu(neurons)})
    unscaled = [name for name in types if net.reduced.layer(name).name not in net.firing_rate_scales]
    replaced = [name for name in ("swap_activations", "max_to_avg_pool") if net.converter_options.get(name)]
    if replaced:
        return cause(
            f"{' and '.join(replaced)} made another network of it than its layers say",
            "Train it with nengo_dl.Simulator.fit and pass check_answers=False",
        )
    # Of ReLU's twins a neuron fires once a second for an activity of 1; levels that are held need a scale too.
    if unscaled:
        return cause(f"the firing rates of {unscaled} were not scaled", "Pass scale_firing_rates to nengo_dl.Converter")
    if skewed:
        return cause(
            f"the rates of {' and '.join(skewed)} are not those of a ReLU",
            "Put nengo.SpikingRectifiedLinear in the place of ReLU by swap_activations",
        )
    raw = spiked_tensor_nodes(net)
    if raw:
        return cause(f"the TensorNodes {raw} see single spikes", "Pass synapse=0.005 to nengo_dl.Converter")
    if net.rectifies_without_synapse:
        return cause(f"{kinds} rectifies its input at every step", "Pass synapse=0.005 to nengo_dl.Converter")
    scale = min(net.firing_rate_scales.values())
    spikes = scale * n_steps * dt
    return cause(
        f"at scale_firing_rates of {scale:.3g} Hz an activity of 1 makes {spikes:.3g} spikes in {n_steps} steps, so "
        "that no more levels can be told apart",
        "Raise scale_firing_rates, or n_steps",
    )


def _fires_as_relu(neurons: Any) -> bool:
    """Tell whether neurons fire in proportion to what comes in above zero."""
    rate_form = getattr(neurons, "base_type", neurons)
    kinds = (IntegrateAndFire, SigmaDelta, nengo.RectifiedLinear)
    # Clipped neurons follow up to the clip, and NengoDL's leaky ones are derived from RectifiedLinear too.
    return isinstance(rate_form, kinds)


def _cause_of_levels(net: CAMNetwork, neurons: SigmaDelta, n_steps: int, moving: bool) -> Cause:
    """Guess why a network of held levels answers otherwise: they are not told yet, or not fine enough."""
    if net.target_rate is None:
        return Cause("what strong activity is in quanta was not calibrated", {"calibrate_on": "images"})
    if neurons.bits is not None and moving:
        return Cause(
            f"its input moves, and levels told in spikes of {neurons.bits} significant bits are some steps late",
            {},
            instead="Convert with neurons=nengo_cam.SigmaDelta(bits=None)",
        )
    if neurons.bits is not None and n_steps < _STEPS_OF_ONE_BIT / neurons.bits:
        return Cause(
            f"levels that are told in spikes of {neurons.bits} significant bits do not settle in {n_steps} steps",
            {},
            instead="Raise n_steps, or convert with neurons=nengo_cam.SigmaDelta(bits=None)",
        )
    levels = net.target_rate / neurons.quantum
    finer = {"target_rate": round(max(_LEVELS * neurons.quantum, 2 * net.target_rate))}
    if levels < _LEVELS:
        return Cause(f"strong activity is {levels:.3g} quanta, so that no more levels can be told apart", finer)
    lost = neurons.threshold * neurons.quantum
    return Cause(
        f"two labels are close: activity is told to {lost:.3g} Hz (threshold times quantum), and strong activity is "
        f"{net.target_rate:.3g} Hz",
        finer,
    )
