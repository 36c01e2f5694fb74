"""What a run feeds: everything that measures is a recorder, and one run may feed several.

A recorder says which layers it wants to see (``observes``), is told of the run before a simulator is made (``begin``),
sees chunk after chunk of time (``add``), and gives what it has measured (``result``). `record` runs a network once for
any number of them, and is the only loop over chunks::

    class MeanLogits(Recorder):
        def begin(self, run):
            self.n_steps, self.sums = run.n_steps, np.zeros((len(run.images), run.net.head.n_labels))

        def add(self, rows, chunk):
            self.sums[rows] += chunk.logits.sum(axis=1)

        def result(self):
            return self.sums / self.n_steps
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..checks.callers import user_stacklevel
from ..checks.sources import Images
from ..conversion.network import CAMNetwork
from ..exceptions import ParameterError
from ..simulator import Simulator
from .arguments import check_network
from .backends import Chunk
from .run import Run

__all__ = ["Recorder", "record"]


@runtime_checkable
class Recorder(Protocol):
    """Measures something in the chunks of a run; derive from it, or have the same methods.

    Attributes
    ----------
    step_size : int
        Values that `add` makes of one step of one image, known after `begin`. Chunks are as long as memory allows for
        what the simulator holds and what all recorders make of it.
    """

    step_size: int = 0

    def observes(self, net: CAMNetwork) -> Sequence[str]:
        """Name the layers of neurons whose output `add` has to see.

        Parameters
        ----------
        net : CAMNetwork
            The network that will run.

        Returns
        -------
        sequence of str
            Names of `nengo_cam.measurement.decoding.neuron_layers`. None unless overridden: features and logits are
            in every chunk.
        """
        return ()

    def begin(self, run: Run) -> None:
        """Get ready for a run, and forget the last one.

        No simulator has been made yet: what cannot be measured is refused here.

        Parameters
        ----------
        run : Run
            Its images, steps and layers.
        """

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Measure some images in some consecutive steps.

        A minibatch of images runs from the first step to the last before the next minibatch begins.

        Parameters
        ----------
        rows : slice
            Which images.
        chunk : Chunk
            What they did. Its arrays are dropped afterwards; keep no view of them.
        """

    def result(self) -> Any:
        """Return what was measured, after all images have run."""


def record(
    net: CAMNetwork,
    images: Images,
    recorders: Iterable[Recorder],
    *,
    n_steps: int,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    chunk_steps: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
    progress_bar: bool = True,
) -> list[Any]:
    """Run images through a network once, and measure with several recorders.

    Parameters
    ----------
    net : CAMNetwork
        Made by `nengo_cam.convert`.
    images : array_like or source of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        Still images, or moving ones. A source gives them block by block; see `nengo_cam.checks.sources.ImageSource`.
    recorders : iterable of Recorder
        What measures: `nengo_cam.measurement.cam.CamRecorder`, `nengo_cam.measurement.activity.ActivityRecorder`,
        `nengo_cam.measurement.cost.CostRecorder`, `nengo_cam.measurement.predict.LogitsRecorder`,
        `nengo_cam.measurement.answers.AnswersRecorder`, or one's own, each once.
    n_steps : int
        Time steps.
    simulator, minibatch_size, chunk_steps, dt, seed, progress_bar
        As for `nengo_cam.spiking_cam`. Recorders that observe layers take a simulator's class.

    Returns
    -------
    list
        The result of each recorder: what its function gives for the same run.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ImageError
        If ``images`` do not fit the network, are empty, or hold NaN or infinity.
    ParameterError
        If something among ``recorders`` is not one, or another argument is out of its range.
    SimulatorError
        If ``simulator`` is unknown or cannot run the network, or activity leaves the range of numbers; if layers are
        observed in an open simulator.
    LabelError, ResultSizeError, UnsupportedModelError
        As recorders raise them before the run: a label that is not there, maps larger than the free memory, synapses
        that cannot be counted.

    Warns
    -----
    InputRangeWarning
        If images lie far outside the range of the images that the network was calibrated on.
    AnswerWarning, SilentFeaturesWarning
        As `nengo_cam.spiking_cam`, if maps are among what is measured.

    Examples
    --------
    >>> from nengo_cam.measurement import ActivityRecorder, CamRecorder, record
    >>> recorders = [CamRecorder(count_spikes=True), ActivityRecorder()]
    >>> maps, report = record(net, images, recorders, n_steps=20, seed=0, progress_bar=False)
    >>> maps.cam.dims, report.dataset.attrs["n_images"]
    (('image', 'time', 'label', 'y', 'x'), 4)
    """
    check_network(net)
    recorders = _check_recorders(recorders)
    run = Run(
        net, images, n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size, dt=dt, seed=seed,
        progress_bar=progress_bar, chunk_steps=chunk_steps,
        observe=[name for recorder in recorders for name in _names(recorder.observes(net))],
        # `Run` and the method that warns are two calls more.
        stacklevel=user_stacklevel() + 2,
    )  # fmt: skip
    # All of them before a simulator is made: what one refuses should not cost what the others would have run.
    for recorder in recorders:
        recorder.begin(run)
    with run:
        for rows, chunk in run.chunks(sum(recorder.step_size for recorder in recorders)):
            for recorder in recorders:
                recorder.add(rows, chunk)
    return [recorder.result() for recorder in recorders]


def _names(observed: str | Sequence[str]) -> Sequence[str]:
    """Take one name for a list of one, and not for its letters."""
    return [observed] if isinstance(observed, str) else observed


def _check_recorders(recorders: Iterable[Recorder]) -> list[Recorder]:
    """Refuse what would fail after the run has begun."""
    found: list[Any] = list(recorders) if np.iterable(recorders) else [recorders]
    for recorder in found:
        # A class has the methods too, and would fail for lack of a `self`.
        if isinstance(recorder, type) or not isinstance(recorder, Recorder):
            raise ParameterError(
                "recorders: expected objects with observes, begin, add, result and step_size, got "
                f"{recorder!r}. Pass instances, such as [CamRecorder()]."
            )
    if not found or len({id(recorder) for recorder in found}) < len(found):
        raise ParameterError(
            f"recorders: expected at least one, each once, got {found!r}. Make an object for each result."
        )
    return found
