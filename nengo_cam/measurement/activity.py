"""What each layer of a spiking network does when it runs: rates, spikes, and how close it is to the CNN's layer.

Numbers of a layer, over all its neurons and images. For the mean of each neuron write a `Recorder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..checks.percentiles import RepeatedValues
from ..checks.sources import Images
from ..conversion.layer_weights import trained_layers
from ..conversion.network import CAMNetwork
from ..conversion.report import Report, layer_parts, network_report
from ..neurons import IntegrateAndFire, SigmaDelta
from ..simulator import Simulator
from .answers import AnswersRecorder, Cause, likely_cause, settled_by
from .backends import Chunk
from .decoding import Decoder, SpikeReader, layer_decoder
from .recorder import Recorder, record
from .run import Run

__all__ = [
    "CORRELATION_DROP",
    "LOW_CORRELATION",
    "SATURATED_FRACTION",
    "SILENT_FRACTION",
    "ActivityRecorder",
    "measure_activity",
]

#: More silent neurons than this are warned of, unless the CNN has as many that are zero.
SILENT_FRACTION = 0.9
#: More spiking neuron-steps than this with several spikes at once are warned of.
SATURATED_FRACTION = 0.01
#: A correlation lower by more than this than that of the layer before is warned of.
CORRELATION_DROP = 0.05
#: A correlation of the last layer lower than this is warned of.
LOW_CORRELATION = 0.9
#: Units and long names of what is measured.
_MEASURED = {
    "mean_rate": ("Hz", "mean firing rate over neurons and images"),
    "rate_99": ("Hz", "99th percentile of the firing rate over neurons and images"),
    "max_rate": ("Hz", "maximum firing rate over neurons and images"),
    "silent_fraction": ("1", "neurons that never spike, of all"),
    "silent_fraction_cnn": ("1", "activities of the CNN that are zero for all images, of all"),
    "saturated_fraction": ("1", "neuron-steps with several spikes, of those with any"),
    "spikes_per_image": ("spikes", "spikes of all neurons per image"),
    "correlation": ("1", "correlation of the activity that is read with the CNN's, median over images"),
}


def measure_activity(
    net: CAMNetwork,
    images: Images,
    *,
    n_steps: int = 100,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
    progress_bar: bool = True,
) -> Report:
    """Run images through a network and report what each layer does, and how far it is from the CNN's layer.

    A neuron's rate for an image is its number of spikes over the duration of the run; a spike of either sign counts,
    and one that has a size is one spike. The activity of a neuron is the mean of its output over the run, with its
    sign, or where levels are held (`nengo_cam.SigmaDelta`) the level at the end, in the units of the source model.
    Memory grows with the network, neither with the number of images nor with that of steps.

    Parameters
    ----------
    net : CAMNetwork
        A converted network.
    images : array_like of shape (N, Y, X, channels) or (N, T, Y, X, channels)
        Images, or moving ones with T = ``n_steps`` frames.
    n_steps : int
        Time steps.
    simulator : type
        `nengo_cam.Simulator`, ``nengo_dl.Simulator``, ``nengo.Simulator`` or a subclass.
    minibatch_size : int, optional
        Images that run at a time. Does not change the result. Default: at most 16.
    dt : float
        Time step [s].
    seed : int, optional
        Seed of initial voltages and of stochastic neurons, as for `nengo_cam.spiking_cam`.
    progress_bar : bool
        Whether to show the progress.

    Returns
    -------
    Report
        That of the network, with more variables for each layer that spikes, NaN for the others and where a value is not
        defined: ``mean_rate``, ``rate_99`` (99th percentile) and ``max_rate`` [Hz] over neurons and images;
        ``silent_fraction``, of neurons that spike for no image, and ``silent_fraction_cnn``, of those whose activity in
        the CNN is zero for all images; ``saturated_fraction``, of the neuron-steps with a spike those with several, not
        defined where levels are held; ``spikes_per_image``; and ``correlation``, the median over images of Pearson's
        correlation over neurons between the activity and that of the CNN as it was at conversion; of moving images, and
        levels that are held, that for the last frame. Images for which either is the same for all neurons have none.
        Of a network that was built by hand what compares with a CNN is NaN.

        ``warnings`` name layers with other weights than the model's (``attrs["trained"]``), as after ``sim.fit``, and
        say for how many images the network answers otherwise than its CNN (``attrs["n_differing"]``); they
        name layers that are all silent; those with more than `SILENT_FRACTION` silent neurons although the
        CNN's layer has fewer zeros than that; those with a ``saturated_fraction`` above `SATURATED_FRACTION`; and those
        whose correlation is lower by more than `CORRELATION_DROP` than that of the spiking layer before, in the order
        of the table, the first layer compared with 1; and the last layer if its correlation is below `LOW_CORRELATION`.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ImageError
        If ``images`` does not fit the network, is empty, or holds NaN or infinity.
    ParameterError
        If ``n_steps`` or ``minibatch_size`` is not a whole number of at least 1, ``dt`` is not positive, or ``seed`` is
        not a seed.
    SimulatorError
        If ``simulator`` is unknown, an open simulator, or cannot run the network; or if activity is beyond the range of
        numbers.

    Warns
    -----
    InputRangeWarning
        If images lie far outside the range of the images that the network was calibrated on.

    Examples
    --------
    >>> report = ncam.measure_activity(net, images, n_steps=20, seed=0, progress_bar=False)
    >>> bool((report.dataset.correlation.dropna("layer") > 0.9).all())
    True
    """
    (report,) = record(
        net, images, [ActivityRecorder()], n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size, dt=dt,
        seed=seed, progress_bar=progress_bar,
    )  # fmt: skip
    return report


class ActivityRecorder(Recorder):
    """Measures what each layer that spikes does, beside the CNN's layer; `nengo_cam.measure_activity` as a recorder."""

    def observes(self, net: CAMNetwork) -> list[str]:
        """Name the layers that spike; see `Recorder.observes`."""
        return list(net.spiking_layers)

    def begin(self, run: Run) -> None:
        """Find the CNN's layers; see `Recorder.begin`."""
        net = run.net
        self._run = run
        self._trained: Any = None
        spiking = net.spiking_layers
        self._layers = {
            name: _LayerActivity(layer_decoder(net, name, run.dt), ensemble.n_neurons, run.n_steps * run.dt)
            for name, ensemble in spiking.items()
        }
        self._answers = AnswersRecorder() if net.has_cnn else None
        if self._answers is None:
            return
        tensors = {part.name: part.tensor for part in layer_parts(net) if part.name in spiking}
        # One model of all layers, so that the CNN runs once for all of them.
        self._cnn = compat.import_tensorflow().keras.Model(
            net.reduced.model.inputs, [net.reduced.model.outputs[0], *(tensors[name] for name in self._layers)]
        )
        self._answers.begin(run)

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Record a chunk; see `Recorder.add`."""
        if self._answers is not None:
            self._answers.add(rows, chunk)
            if self._trained is None:
                # Here and not in `begin`: only an open simulator has weights.
                self._trained = trained_layers(self._run.net, self._run.backend.sim)
        # Where nothing changes any more, there are no spikes to count.
        for name, layer in () if chunk.settled else self._layers.items():
            layer.add(chunk.steps, chunk.observed[name])
        if chunk.steps.stop < self._run.n_steps:
            return
        if self._answers is None:
            for layer in self._layers.values():
                layer.end_images()
            return
        activities = _cnn_activities(self._cnn, self._run.frames(rows))
        for layer, (mean, last) in zip(self._layers.values(), activities):
            layer.end_images(mean, last)

    def result(self) -> Report:
        """Return what `nengo_cam.measure_activity` does."""
        run = self._run
        attrs = {**run.provenance, "n_steps": int(run.n_steps), "n_images": len(run.images)}
        cause = None
        if self._answers is not None:
            attrs["n_differing"] = len(self._answers.result().differing)
            attrs["trained"] = ", ".join(self._trained)
            cause = likely_cause(run.net, n_steps=run.n_steps, dt=run.dt, moving=run.images.moving)
            if self._trained:
                # Whatever else there is, this alone makes other answers.
                cause = Cause("it was trained after conversion", {}, instead="Compare it with true classes")
        return _extend(run.net, {name: layer.summary() for name, layer in self._layers.items()}, attrs, cause)


class _LayerActivity:
    """Counts the spikes of a layer, chunk by chunk and minibatch by minibatch.

    Parameters
    ----------
    decoder : Decoder
        What the layer's output means.
    n_neurons : int
        Neurons of the layer.
    duration : float
        Length of the run [s].
    """

    def __init__(self, decoder: Decoder, n_neurons: int, duration: float) -> None:
        self._decoder = decoder
        self._reader = SpikeReader(decoder)
        self._duration = duration
        # Percentiles over all neurons of all images, without keeping a number for each.
        self._per_image = RepeatedValues()
        self._ever = np.zeros(n_neurons, bool)
        # None as long as no CNN has been seen.
        self._ever_in_cnn: Any = None
        self._n_spiking = self._n_several = 0
        self._correlations: list[float] = []
        self._counts: Any = 0
        self._sums: Any = 0

    @property
    def held(self) -> bool:
        """Whether it is the level at the end that is compared with the CNN."""
        return self._decoder.held

    def add(self, steps: slice, output: NDArray[np.floating]) -> None:
        """Count the spikes in what the neurons gave out, of shape (images, steps, neurons)."""
        counts, sums = (np.zeros((len(output), output.shape[2])) for _ in range(2))
        for image, sizes in enumerate(self._reader.sizes(steps, output)):
            # Of spikes that are counted, and of changes of a level, the sum is the activity: spikes of opposite signs
            # cancel in it, but they are spikes.
            sums[image] = sizes.sum(axis=0, dtype=float)
            events = self._decoder.events(sizes)
            counts[image] = events.sum(axis=0, dtype=float)
            self._n_spiking += np.count_nonzero(events > 0)
            self._n_several += np.count_nonzero(events > 1)
        self._counts, self._sums = self._counts + counts, self._sums + sums

    def end_images(self, mean: NDArray[np.float64] | None = None, last: NDArray[np.float64] | None = None) -> None:
        """Take what was counted for some images into account.

        Parameters
        ----------
        mean, last : ndarray of shape (images, neurons), optional
            Activity in the CNN, mean over frames and for the last one, if there is a CNN.
        """
        self._per_image.add(self._counts)
        self._ever = self._ever | self._counts.any(axis=0)
        expected = last if self.held else mean
        if mean is not None and expected is not None:
            seen = mean.any(axis=0)
            self._ever_in_cnn = seen if self._ever_in_cnn is None else self._ever_in_cnn | seen
            # Spikes will do for output: a correlation does not see a factor that is the same for the whole layer.
            self._correlations.extend(_correlate(self._decoder.activity(self._sums), self._decoder.activity(expected)))
        self._counts = self._sums = 0

    def summary(self) -> dict[str, float]:
        """Return what is reported of the layer, by the name of the variable."""
        defined = [value for value in self._correlations if np.isfinite(value)]
        counts = self._per_image
        return {
            "mean_rate": counts.mean() / self._duration,
            "rate_99": counts.percentile(99) / self._duration,
            "max_rate": counts.percentile(100) / self._duration,
            "silent_fraction": 1 - self._ever.mean(),
            "silent_fraction_cnn": np.nan if self._ever_in_cnn is None else 1 - self._ever_in_cnn.mean(),
            # A change of a level is one spike, however large.
            "saturated_fraction": self._n_several / self._n_spiking if self._n_spiking and not self.held else np.nan,
            "spikes_per_image": counts.mean() * len(self._ever),
            "correlation": np.median(defined) if defined else np.nan,
        }


def _cnn_activities(cnn: Any, frames: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return what the layers of the CNN do for images (N, frames, Y, X, channels).

    For each layer two arrays of shape (N, neurons): the mean over frames, and for the last one.
    """
    nest = compat.import_tensorflow().nest
    totals: list[NDArray[np.float64]] = []
    outputs: list[NDArray[np.float64]] = []
    for step in range(frames.shape[1]):
        # Without the logits, which are there so that there is an output.
        _, *found = nest.flatten(cnn(frames[:, step], training=False))
        outputs = [output.numpy().reshape(len(frames), -1).astype(float) for output in found]
        totals = [total + output for total, output in zip(totals, outputs)] if step else outputs
    return zip([total / frames.shape[1] for total in totals], outputs)


def _correlate(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate the rows of two matrices; NaN where one is constant."""
    defined = (np.ptp(values, axis=1) > 0) & (np.ptp(others, axis=1) > 0)
    result = np.full(len(values), np.nan)
    values, others = (part[defined] - part[defined].mean(axis=1, keepdims=True) for part in (values, others))
    norms = np.sqrt((values**2).sum(axis=1) * (others**2).sum(axis=1))
    result[defined] = (values * others).sum(axis=1) / norms
    return result


def _extend(
    net: CAMNetwork, summaries: dict[str, dict[str, float]], attrs: dict[str, Any], cause: Cause | None
) -> Report:
    """Add what was measured to the report of a network."""
    report = network_report(net)
    nothing = dict.fromkeys(_MEASURED, np.nan)
    rows = [summaries.get(name, nothing) for name in report.dataset.layer.values.tolist()]
    variables = {
        name: ("layer", [row[name] for row in rows], {"units": units, "long_name": long_name})
        for name, (units, long_name) in _MEASURED.items()
    }
    sentences = (
        *report.warnings,
        *_warn_of_training(attrs.get("trained", "")),
        *(() if cause is None else _warn_of_answers(attrs, cause)),
        *_warn_of_silence(net, summaries, attrs),
        *_warn_of_saturation(net, summaries),
        *_warn_of_correlation(net, summaries),
    )
    return Report(report.dataset.assign(variables).assign_attrs(attrs, warnings="\n".join(sentences)))


def _warn_of_training(trained: str) -> Iterator[str]:
    """Say that the CNN is another network by now."""
    if trained:
        yield (
            f"Other weights than the model's: {trained}. The network was trained after conversion, and is compared "
            "with the CNN as it was. Read answers and correlations accordingly."
        )


def _warn_of_answers(attrs: dict[str, Any], cause: Cause) -> Iterator[str]:
    """Say for how many images the network answers otherwise than its CNN."""
    if attrs["n_differing"]:
        yield (
            f"Another answer than the CNN's for {attrs['n_differing']} of {attrs['n_images']} images "
            f"({settled_by(attrs['readout'], attrs['n_steps'])}). Likely, {cause.clause}. {cause.remedy}."
        )


def _warn_of_silence(net: CAMNetwork, summaries: dict[str, dict[str, float]], attrs: dict[str, Any]) -> Iterator[str]:
    """Name layers that hardly spike, if the CNN's layers are not as silent."""
    run = f"for any of {attrs['n_images']} images in {attrs['n_steps']} steps"
    rate = _rate_of(net)
    remedy = f"Raise {rate}" if isinstance(net.neurons, SigmaDelta) else f"Raise {rate} or n_steps"
    dead, silent, nearly = [], [], []
    for name, values in summaries.items():
        fraction, zero = values["silent_fraction"], values["silent_fraction_cnn"]
        if zero == 1:
            dead.append(repr(name))
        elif fraction == 1:
            silent.append(repr(name))
        elif fraction > SILENT_FRACTION >= zero:
            # Never without a CNN: NaN compares with nothing, and what is silent may be meant to be.
            nearly.append(f"{name!r} ({fraction:.1%}; in the CNN {zero:.1%} are zero)")
    if dead:
        yield (
            f"Zero for all images in the CNN itself: {', '.join(dead)}. Check that the images have the range that the "
            "model was trained on."
        )
    if silent:
        yield f"No neuron spiked {run}: {', '.join(silent)}. {remedy}."
    if nearly:
        yield f"Most neurons never spiked {run}: {', '.join(nearly)}. {remedy}."


def _rate_of(net: CAMNetwork) -> str:
    """Name what decides how fast neurons fire."""
    if not net.has_cnn:
        return "the gain of the neurons"
    return "scale_firing_rates" if net.adopted else "target_rate"


def _warn_of_saturation(net: CAMNetwork, summaries: dict[str, dict[str, float]]) -> Iterator[str]:
    """Name layers that fire faster than the time steps follow."""
    fractions = {name: values["saturated_fraction"] for name, values in summaries.items()}
    found = [f"{name!r} ({value:.1%})" for name, value in fractions.items() if value > SATURATED_FRACTION]
    if found:
        yield (
            f"Neurons fire several spikes in one step: {', '.join(found)} of the steps in which they spike. Lower "
            f"{_rate_of(net)} or dt."
        )


def _warn_of_correlation(net: CAMNetwork, summaries: dict[str, dict[str, float]]) -> Iterator[str]:
    """Name the layers at which the network goes another way than the CNN."""
    if net.adopted:
        remedy = "Raise n_steps, or scale_firing_rates of nengo_dl.Converter"
    elif net.calibration_range is None:
        remedy = "Convert with calibrate_on=images, or raise n_steps or target_rate"
    elif not net.channel_factors:
        remedy = "Convert with balance=True, or raise n_steps or target_rate"
    elif isinstance(net.neurons, SigmaDelta):
        remedy = "Raise n_steps until no more spikes come, or target_rate, which is the number of levels"
    elif type(net.neurons) is IntegrateAndFire:
        remedy = "Convert with neurons='auto', or raise n_steps or target_rate"
    else:
        remedy = "Raise n_steps or target_rate"
    level, last, found = 1.0, "", []
    for name, values in summaries.items():
        correlation = values["correlation"]
        if np.isnan(correlation):
            continue
        if correlation < level - CORRELATION_DROP:
            found.append(f"{name!r} (from {level:.3f} to {correlation:.3f})")
        level, last = correlation, name
    clauses = [f"drops at {', '.join(found)}"] if found else []
    if level < LOW_CORRELATION:
        clauses.append(f"is {level:.3f} at the last layer that spikes, {last!r}")
    if clauses:
        yield f"The correlation with the CNN {', and '.join(clauses)}. {remedy}."
