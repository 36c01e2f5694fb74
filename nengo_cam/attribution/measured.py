"""What the layers of a network did up to chosen times: means of the activity that the next layer received.

The only module of this room that sees a run. `MeasuredRecorder` keeps running sums, so its memory does not grow with
the number of steps, and hands on blocks of images and times as soon as there are enough of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import nengo
import numpy as np
from numpy.typing import NDArray

from ..checks.parameters import CNN_MINIBATCH, is_real, is_whole
from ..conversion.convert import CAMNetwork
from ..exceptions import ParameterError, UnsupportedModelError
from ..measurement.backends import Chunk
from ..measurement.decoding import distinct_steps
from ..measurement.kept_steps import nearest_steps
from ..measurement.projection import MapFilter
from ..measurement.recorder import Recorder
from ..measurement.run import Run
from ..models.replay import Replay
from ..models.simplify import max_value_of

__all__ = [
    "DEFAULT_TIMES",
    "Block",
    "Measured",
    "MeasuredRecorder",
    "Window",
    "by_time",
    "default_steps",
    "rectified_neurons",
]

#: How many times are explained unless told otherwise.
DEFAULT_TIMES = 20


@dataclasses.dataclass(frozen=True)
class Window:
    """A mean over the last steps, for input that moves.

    Attributes
    ----------
    n_steps : int
        How many steps; fewer at the start of a run.
    """

    n_steps: int


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """What was measured of some images at some times: R images after one another for each of T times.

    Attributes
    ----------
    rows, times : slice
        Which images, and which of the chosen times.
    images : ndarray of shape (T * R, Y, X, channels)
        What was shown, averaged as the activity.
    told : dict of {str: ndarray of shape (T * R, ..., channels)}
        Activity by layer call, in the units of ``net.reduced``.
    logits : ndarray of shape (T * R, L)
        Logits, averaged likewise [logit].
    """

    rows: slice
    times: slice
    images: NDArray[np.float32]
    told: dict[str, NDArray[np.float32]]
    logits: NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of all images at all times.

    Attributes
    ----------
    steps : ndarray of int of shape (T,)
        The chosen steps, counted from 0.
    layers : dict of {str: ndarray of shape (N, T, ..., channels)}
        Activity by layer call, in the units of ``net.reduced``.
    logits : ndarray of shape (N, T, L)
        Logits, averaged likewise [logit].
    """

    steps: NDArray[np.int64]
    layers: dict[str, NDArray[np.float32]]
    logits: NDArray[np.float32]


class MeasuredRecorder(Recorder):
    """Averages the activity of all rectified layers, spiking or not, up to chosen times.

    Parameters
    ----------
    times : float or sequence of float, optional
        When [s]: the nearest steps. Default: `DEFAULT_TIMES` steps up to the last, evenly spaced in their logarithm.
    average : str, float or Window, optional
        "cumulative": the mean since the start. A time constant [s]: exponential weights that sum to one. `Window`: the
        mean over the last steps. "step": the step itself. Default: "cumulative" where activity is the mean of spikes,
        and "step" where each step is an estimate by itself (``net`` of `nengo_cam.SigmaDelta`, or without spikes).

    Attributes
    ----------
    replay : Replay
        The model with the weights of the simulator, from the first chunk on.
    steps : ndarray of int
        The chosen steps, counted from 0.
    average : object
        As given, or as chosen.

    Examples
    --------
    >>> from nengo_cam.attribution.measured import MeasuredRecorder
    >>> from nengo_cam.measurement import record
    >>> recorder = MeasuredRecorder(times=[0.01, 0.02])
    >>> (measured,) = record(net, images, [recorder], n_steps=20, seed=0, progress_bar=False)
    >>> measured.layers["conv0"].shape
    (4, 2, 28, 28, 16)

    What it is for: the logits follow from the activity of the last layer, as it was received.

    >>> told = {name: activity[:, -1] for name, activity in measured.layers.items()}
    >>> bool(np.allclose(recorder.replay(images, told=told).logits, measured.logits[:, -1], atol=1e-3))
    True
    """

    def __init__(self, *, times: float | Sequence[float] | None = None, average: Any = None) -> None:
        self._times = times
        self._given = average

    def observes(self, net: CAMNetwork) -> list[str]:
        """Name the rectified layers of neurons; see `Recorder.observes`."""
        net.require_cnn("attribute")
        return rectified_neurons(net)

    def begin(self, run: Run) -> None:
        """Check times and average; see `Recorder.begin`.

        Parameters
        ----------
        run : Run
            The run that will feed it.

        Raises
        ------
        ParameterError
            If a time is not in the run, or the average is not one.
        UnsupportedModelError
            If the network has neurons of the model's own, options of ``nengo_dl.Converter`` made another network of the
            model, or a layer hands its activity on through several filters.
        """
        net = run.net
        # Before the run: refused here what `replay` refuses of converters.
        self.replay: Replay = net.replay()
        if net.keeps_spikes:
            raise UnsupportedModelError(
                f"network of model {net.model.name!r}: SpikingActivation layers have no known derivative; expected "
                "ReLU, got neurons of the model's own. Convert with neurons=nengo_cam.SigmaDelta()."
            )
        self._run = run
        self.steps = (
            default_steps(run.n_steps) if self._times is None else nearest_steps(self._times, run.n_steps, run.dt)
        )
        default = "cumulative" if run.readout == "mean" else "step"
        self.average = default if self._given is None else self._given
        self._decay, self._window = _check_average(self.average, run.dt)
        calls = dict(zip(net.reduced.flat.call_names, net.reduced.flat.calls))
        self._shapes = {name: calls[name].output_shapes[0][1:] for name in self.observes(net)}
        self._filters = {name: _outgoing_filter(net, name, run.dt) for name in self._shapes}
        self._opened = False
        self._collected: dict[str, NDArray[np.float32]] = {}
        # A filter makes a copy of a chunk.
        self.step_size = sum(int(np.prod(shape)) for name, shape in self._shapes.items() if self._filters[name])

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Record a chunk; see `Recorder.add`."""
        if not self._opened:
            # Here and not in `begin`: only an open simulator has weights, perhaps trained ones.
            self.replay = self._run.net.replay(self._run.backend.sim)
            self._opened = True
        if chunk.start == 0:
            self._sums: dict[str, NDArray[np.float64]] = {}
            self._before: dict[int, dict[str, Any]] = {}
            self._waiting: list[tuple[int, dict[str, NDArray[np.float32]]]] = []
        values = dict(self._signals(rows, chunk))
        begin = chunk.steps.start
        for end in self._cuts(chunk.steps):
            self._advance(values, begin - chunk.start, end - chunk.start, end)
            begin = end
            self._keep(rows, end)
        self._advance(values, begin - chunk.start, chunk.steps.stop - chunk.start, chunk.steps.stop)
        if chunk.steps.stop == self._run.n_steps:
            self._hand_on(rows)
            self._sums, self._before = {}, {}

    def receive(self, block: Block) -> None:
        """Take what was measured; the base class keeps all of it for `result`.

        Parameters
        ----------
        block : Block
            Some images at some times. Blocks of an image come in the order of time.
        """
        n_images, n_times = len(self._run.images), len(self.steps)
        for name, values in {**block.told, "": block.logits}.items():
            if name not in self._collected:
                self._collected[name] = np.empty((n_images, n_times, *values.shape[1:]), np.float32)
            self._collected[name][block.rows, block.times] = by_time(block, values)

    def result(self) -> Any:
        """Return a `Measured`; classes derived from it give what they make of it."""
        layers = {name: values for name, values in self._collected.items() if name}
        return Measured(self.steps, layers, self._collected[""])

    def _signals(self, rows: slice, chunk: Chunk) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield what is averaged, of shape (images, steps or 1, size)."""
        for name, filtered in self._filters.items():
            output = chunk.observed[name]
            yield name, distinct_steps(output) if filtered is None else filtered(chunk.start, output)
        # No layer has an empty name, or one with a slash.
        yield "/logits", distinct_steps(chunk.logits)
        if self._run.images.moving:
            frames = self._run.frames(rows)[:, chunk.steps]
            yield "/images", frames.reshape(*frames.shape[:2], -1)

    def _cuts(self, steps: slice) -> list[int]:
        """Numbers of steps after which sums are needed: those of the chosen times, and where their windows begin."""
        ends = set((self.steps + 1).tolist())
        if self._window:
            ends |= {end - self._window for end in ends if end > self._window}
        return sorted(end for end in ends if steps.start < end <= steps.stop)

    def _advance(self, values: dict[str, NDArray[Any]], begin: int, stop: int, end: int) -> None:
        """Add steps of a chunk to the sums."""
        n_steps = stop - begin
        if not n_steps:
            return
        # The weight of a step has decayed when the last one comes.
        weights = self._decay ** np.arange(n_steps - 1, -1, -1.0)
        for name, signal in values.items():
            part = signal[:, begin:stop]
            if signal.shape[1] == 1:
                # One step for all of them, as of what has settled.
                total = signal[:, 0].astype(float) * weights.sum()
            elif self._decay == 1:
                total = part.sum(axis=1, dtype=float)
            elif self._decay == 0:
                total = part[:, -1].astype(float)
            else:
                total = np.einsum("s,nsk->nk", weights, part)
            before = self._sums.get(name)
            self._sums[name] = total if before is None else before * self._decay**n_steps + total
        if self._window and end + self._window in self.steps + 1:
            # Sums are replaced, never changed: no copy is needed.
            self._before[end] = dict(self._sums)

    def _keep(self, rows: slice, end: int) -> None:
        """Keep the means after some steps, if they were chosen, and hand on what waits if that is enough."""
        position = int(np.searchsorted(self.steps, end - 1))
        if position == len(self.steps) or self.steps[position] != end - 1:
            return
        start = max(0, end - self._window) if self._window else 0
        earlier = self._before.pop(start, {}) if start else {}
        n_steps = end - start
        weight = n_steps if self._decay == 1 else (1 - self._decay**n_steps) / (1 - self._decay)
        means = {
            name: ((total - earlier[name] if earlier else total) / weight).astype(np.float32)
            for name, total in self._sums.items()
        }
        self._waiting.append((position, means))
        if len(self._waiting) * (rows.stop - rows.start) >= CNN_MINIBATCH:
            self._hand_on(rows)

    def _hand_on(self, rows: slice) -> None:
        """Make a block of the times that wait."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        positions = [position for position, _ in waiting]

        def stacked(name, shape):
            return np.concatenate([means[name] for _, means in waiting]).reshape((-1, *shape))

        input_shape = self._run.net.head.input_shape
        if self._run.images.moving:
            images = stacked("/images", input_shape)
        else:
            still = self._run.frames(rows)[:, 0]
            images = np.tile(still, (len(waiting), *[1] * len(input_shape)))
        told = {name: stacked(name, shape) for name, shape in self._shapes.items()}
        logits = stacked("/logits", (self._run.net.head.n_labels,))
        self.receive(Block(rows, slice(positions[0], positions[-1] + 1), images, told, logits))


def by_time(block: Block, values: NDArray[Any]) -> NDArray[Any]:
    """Give what was computed of a block the axes of images and times.

    Parameters
    ----------
    block : Block
        R images at T times.
    values : ndarray of shape (T * R, ...)
        Image after image, time after time.

    Returns
    -------
    ndarray of shape (R, T, ...)
    """
    n_rows = block.rows.stop - block.rows.start
    return np.swapaxes(values.reshape((-1, n_rows, *values.shape[1:])), 0, 1)


def default_steps(n_steps: int) -> NDArray[np.int64]:
    """Choose steps evenly in their logarithm: early on, activity changes from step to step.

    Parameters
    ----------
    n_steps : int
        Steps of the run.

    Returns
    -------
    ndarray of int
        At most `DEFAULT_TIMES` steps, counted from 0, the last one among them.
    """
    return np.unique(np.rint(np.geomspace(1, n_steps, DEFAULT_TIMES)).astype(int)) - 1


def rectified_neurons(net: CAMNetwork) -> list[str]:
    """Name the rectified layer calls that neurons stand for.

    Parameters
    ----------
    net : CAMNetwork
        The network.

    Returns
    -------
    list of str
        In the order in which they run. Others, such as ReLU in a TensorNode, are not told; a `Replay` computes them.
    """
    calls = dict(zip(net.reduced.flat.call_names, net.reduced.flat.calls))
    return [name for name in net.neuron_layers if max_value_of(calls[name].layer) is not None]


def _check_average(average: Any, dt: float) -> tuple[float, int]:
    """Return by what weights decay from step to step, and how many steps count, 0 for all."""
    if isinstance(average, Window) and is_whole(average.n_steps) and average.n_steps >= 1:
        return 1.0, average.n_steps
    if isinstance(average, str) and average in ("cumulative", "step"):
        return (1.0, 0) if average == "cumulative" else (0.0, 0)
    if is_real(average) and np.isfinite(average) and average > 0:
        return float(np.exp(-dt / average)), 0
    raise ParameterError(
        f"average: expected 'cumulative', 'step', a time constant in seconds or a Window of steps, got {average!r}. "
        "Leave it out for what suits the neurons."
    )


def _outgoing_filter(net: CAMNetwork, name: str, dt: float) -> MapFilter | None:
    """Make the filter through which others receive what a layer puts out."""
    ensemble = net.neuron_layers[name]
    # By ensemble: Nengo makes the object that stands for its neurons anew whenever it is asked for.
    sent = [c for c in net.net.all_connections if getattr(c.pre_obj, "ensemble", None) is ensemble]
    # What a user added to look at the network does not belong to the model, whatever filter it looks through.
    own = {id(_owner(obj)) for obj in net.objects.values()}
    within = [connection for connection in sent if id(_owner(connection.post_obj)) in own]
    found: list[Any] = []
    for connection in within or sent:
        if connection.synapse not in found:
            found.append(connection.synapse)
    if len(found) > 1:
        raise UnsupportedModelError(
            f"layer {name!r}: it is received through several filters; expected one, got {found}. Give its connections "
            "the same synapse."
        )
    return MapFilter(found[0], dt) if found and found[0] is not None else None


def _owner(obj: Any) -> Any:
    """Return the ensemble of neurons, and anything else as it is."""
    return obj.ensemble if isinstance(obj, nengo.ensemble.Neurons) else obj
