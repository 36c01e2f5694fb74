"""Explain what a spiking network answers, at chosen times, and what the CNN does, by any method of this room."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..checks.callers import user_stacklevel
from ..checks.memory import check_room
from ..checks.parameters import CNN_MINIBATCH, check_count, check_positive
from ..checks.sources import CheckedImages, Images
from ..conversion.convert import CAMNetwork
from ..exceptions import ParameterError
from ..measurement.answers import AnswersRecorder, warn_of_answers
from ..measurement.labels import name_labels
from ..measurement.lag import warn_of_lag
from ..measurement.maps_dataset import answer_variables
from ..measurement.provenance import time_axis
from ..measurement.recorder import record
from ..models.coordinates import name_places
from ..models.replay import Replay
from ..models.simplify import reduce_model
from ..models.source import read_model
from ..simulator import Simulator
from . import relevance  # noqa: F401 (it registers its method, as gradients do)
from .gradients import has_channels_first
from .measured import Block, MeasuredRecorder, Window, by_time
from .methods import Method, find_method
from .result import Arrays, attribution_dataset, attribution_shape, placed_head
from .targets import Target, Targets

__all__ = ["AttributionRecorder", "attribute", "rate_attribute"]

_CHANNELS = ("sum", "keep")


def attribute(
    net: CAMNetwork,
    images: Images,
    method: str,
    *,
    n_steps: int,
    labels: Target = "predicted",
    label_names: Sequence[str] | None = None,
    times: float | Sequence[float] | None = None,
    average: str | float | Window | None = None,
    channels: str = "sum",
    layer: str | None = None,
    gate: str | None = None,
    composite: Any = None,
    transport: str | None = None,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    chunk_steps: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
    check_answers: bool = True,
    progress_bar: bool = True,
) -> xr.Dataset:
    """Run a converted network, and explain what it answers at chosen times by a method of all layers.

    The network runs once. Of each rectified layer the mean activity that the next layer received is measured; the
    model is run again with that activity in the place of what its ReLUs give, everything linear computed from it, and
    what is explained goes back through it. So an explanation is one of what the network did, and becomes the CNN's as
    activity does. Weights are those of the simulator. Memory beyond the result does not grow with ``n_steps``.

    Parameters
    ----------
    net : CAMNetwork
        Made by `nengo_cam.convert` or `nengo_cam.from_converter`.
    images : array_like of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        As for `nengo_cam.spiking_cam`. Of moving images it is their mean, averaged as the activity, that is explained.
    method : str
        "saliency", "input_times_gradient", "guided_backprop", "deconvnet", "grad_cam", "layer_cam", "hires_cam",
        "guided_grad_cam", "lrp"; `nengo_cam.attribution` has a function for each, with its equation.
    n_steps : int
        Number of time steps.
    labels : int, str, sequence of them, PerImage, Contrast or callable
        What is explained. "predicted": the label that the CNN answers, one for each image; never that of the moment,
        which would jump. "top2": its best two. Labels by index or name. `nengo_cam.attribution.PerImage`: one label for
        each image. `nengo_cam.attribution.Contrast`: a label minus others. A function from logits, a tensor (N, L), to
        one number for each image, computed with TensorFlow.
    label_names : sequence of str, optional
        Names of all L labels, as for `nengo_cam.spiking_cam`.
    times : float or sequence of float, optional
        When [s]: the nearest steps. Default: 20 steps up to the last, evenly spaced in their logarithm.
    average : str, float or Window, optional
        How activity is averaged over time: "cumulative", since the start; a time constant [s]; a
        `nengo_cam.attribution.Window` of steps; "step", not at all. Default: "cumulative" where activity is the mean of
        spikes, "step" where each step is an estimate by itself (``attrs["readout"]`` of `nengo_cam.spiking_cam`). In a
        single step of spikes of one size some percent of the neurons are active: that is no activity to explain.
    channels : str
        "sum": contributions of the channels of the input, or of the layer, are added up. "keep": they stay apart.
    layer : str, optional
        Layer that Grad-CAM and its like look at, by the name in ``net.report``. Default: the last rectified one.
    gate : str, optional
        "current", the default, or "activity": what decides whether a ReLU passes a gradient back; see
        `nengo_cam.attribution.gates`.
    composite, transport
        Options of methods of relevance.
    simulator : type
        As for `nengo_cam.spiking_cam`, a class: layers are observed.
    minibatch_size, chunk_steps, dt, seed, check_answers, progress_bar
        As for `nengo_cam.spiking_cam`.

    Returns
    -------
    xarray.Dataset
        * ``attribution`` (image, time, label, y, x[, channel]); for "top2" with ``rank`` in the place of ``label``, and
          without either where one thing is explained of each image: ``target`` (image[, rank]) is then the label. Its
          units are those of the method, [logit] for most.
        * ``logits`` (image, time, label), averaged as the activity, and ``cnn_logits`` (image, label), of the CNN with
          the weights of the simulator [logit]; if labels are chosen, ``all_logits`` and ``all_cnn_logits`` too.
        * ``answer`` and ``cnn_answer`` (image), as from `nengo_cam.spiking_cam`.

        ``y`` and ``x`` are pixels; of methods that look at a layer the centers of what its cells see.
        ``attrs["replay_error"]`` is the largest difference between the logits of the model as it was run again and
        those of the network, as a fraction of the largest: rounding, unless something nonlinear saw single spikes.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    MissingCNNError
        If it was built by hand, so that there is no model to go back through.
    UnsupportedModelError
        If the method is not defined for a layer of the model, or the network is not that of its model.
    ImageError
        If ``images`` does not fit the network, is empty, or holds NaN or infinity.
    LabelError
        If a label does not exist, or ``label_names`` does not name all labels.
    ParameterError
        If the method does not exist or does not take an option, or an argument is out of its range.
    SimulatorError
        If ``simulator`` is unknown, an open simulator, or cannot run the network, or activity leaves the range of
        numbers.
    ResultSizeError
        If the result would be larger than the memory that is free.

    Warns
    -----
    AnswerWarning, InputRangeWarning, MovingInputWarning
        As `nengo_cam.spiking_cam`.
    AttributionWarning
        If the method says nothing of the images: a deconvnet of a model without max pooling.

    Examples
    --------
    >>> maps = ncam.attribute(net, images, "input_times_gradient", n_steps=20, seed=0, progress_bar=False)
    >>> maps.attribution.dims, maps.target.values.tolist() == classes.tolist()
    (('image', 'time', 'y', 'x'), True)

    What separates the label from the strongest other one, and where the CNN finds it:

    >>> contrast = ncam.attribution.Contrast("predicted")
    >>> spiking = ncam.attribute(net, images, "grad_cam", labels=contrast, n_steps=40, seed=0, progress_bar=False)
    >>> rate = ncam.rate_attribute(net, images, "grad_cam", labels=contrast)
    >>> at_end = spiking.attribution.isel(time=-1)
    >>> bool((xr.corr(at_end, rate.attribution, ("y", "x")) > 0.95).all())
    True
    """
    recorder = AttributionRecorder(
        method, labels=labels, label_names=label_names, times=times, average=average, channels=channels, layer=layer,
        gate=gate, composite=composite, transport=transport, check_answers=check_answers,
    )  # fmt: skip
    (dataset,) = record(
        net, images, [recorder], n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size,
        chunk_steps=chunk_steps, dt=dt, seed=seed, progress_bar=progress_bar,
    )  # fmt: skip
    return dataset


def rate_attribute(
    net_or_model: Any,
    images: Images,
    method: str,
    *,
    labels: Target = "predicted",
    label_names: Sequence[str] | None = None,
    channels: str = "sum",
    layer: str | None = None,
    gate: str | None = None,
    composite: Any = None,
    transport: str | None = None,
    dt: float = 0.001,
    minibatch_size: int = CNN_MINIBATCH,
    output: int | str | None = None,
    coords: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Explain what the CNN itself answers, without spikes, by the same methods.

    Parameters
    ----------
    net_or_model : CAMNetwork or tf.keras.Model
        As for `nengo_cam.rate_cam`.
    images : array_like of shape (N, Y, X, channels) or (N, T, Y, X, channels)
        Images. For moving images the result has a time axis: each frame by itself.
    method, labels, label_names, channels, layer, gate, composite, transport
        As for `attribute`.
    dt : float
        Time from one frame to the next, for moving images [s].
    minibatch_size : int
        Images that run at a time.
    output, coords
        As for `nengo_cam.rate_cam`.

    Returns
    -------
    xarray.Dataset
        As from `attribute`, without ``time``.

    Raises
    ------
    ModelTypeError, HeadError
        If it is not a Keras model with a GAP head.
    MissingCNNError
        If it is a network that was built by hand.
    UnsupportedModelError
        If it holds something that cannot be rewritten, or that the method is not defined for.
    ImageError, LabelError, ParameterError, ResultSizeError
        As for `attribute`.

    Warns
    -----
    AttributionWarning
        As `attribute`.

    Examples
    --------
    >>> rate = ncam.rate_attribute(model, images, "saliency", labels=[3, 5])
    >>> rate.attribution.dims
    ('image', 'label', 'y', 'x')
    """
    check_count("minibatch_size", minibatch_size)
    check_positive("dt", dt, unit="seconds")
    found, options = _choose_method(method, channels, layer, gate, composite, transport)
    if isinstance(net_or_model, CAMNetwork):
        for name, value in (("output", output), ("coords", coords)):
            if value is not None:
                raise ParameterError(
                    f"{name}: a converted network has it already; expected None, got {value!r}. Choose it in "
                    "nengo_cam.convert."
                )
        net_or_model.require_cnn("rate_attribute")
        replay, head = net_or_model.replay(), net_or_model.head
    else:
        replay = Replay(reduce_model(read_model(net_or_model, output=output)))
        head = name_places(replay.reduced.head, coords)
    options = found.prepare(replay.reduced, **options)
    checked = CheckedImages(images, head.input_shape)
    names = name_labels(head, label_names)
    targets = Targets(labels, head, names, named=label_names is not None, n_images=len(checked))
    n_frames = checked.shape[1] if checked.moving else 1
    n_images = len(checked)
    shape = attribution_shape(replay.reduced, options.get("layer"), keep_channels=channels == "keep")
    _check_room((n_images, n_frames), targets, shape)
    arrays = Arrays((n_images * n_frames,), targets, shape, replay.linear_layers)
    logits = np.empty((n_images * n_frames, head.n_labels), np.float32)
    cnn_logits = np.empty((n_images, head.n_labels), np.float32)
    chosen = np.empty((n_images, targets.n_targets), int)
    # Before anything is explained: labels are chosen by all frames of an image.
    for batch, frames in checked.frames(minibatch_size):
        logits[batch] = replay(frames).logits.numpy()
    cnn_logits[:] = logits.reshape((n_images, n_frames, -1)).mean(axis=1)
    chosen[:] = targets.choose(slice(0, n_images), cnn_logits)
    for batch, frames in checked.frames(minibatch_size):
        rows = np.arange(batch.start, batch.stop) // n_frames
        weights = targets.weights(chosen[rows], cnn_logits[rows], logits[batch])
        for i in range(targets.n_targets):
            explained = found.explain(replay, frames, {}, weights[:, i], **options)
            arrays.attribution[batch, i] = _laid_out(explained.attribution, replay, options, channels)
            arrays.put_shares((batch, i), explained.shares, lambda values: values)
    coords_in_front: dict[str, Any] = {}
    if checked.moving:
        arrays.split_leading((n_images, n_frames))
        logits = logits.reshape((n_images, n_frames, -1))
        coords_in_front["time"] = time_axis(n_frames, dt)
    return attribution_dataset(
        placed_head(replay.reduced, head, options.get("layer")), found, targets, names, arrays, chosen=chosen,
        logits=logits, cnn_logits=cnn_logits, coords=coords_in_front, keep_channels=channels == "keep",
        how={"head": str(head), **_described(options), "channels": channels, "simulator": "none, the Keras model"},
    )  # fmt: skip


class AttributionRecorder(MeasuredRecorder):
    """Explains what is measured as soon as it is, and keeps the explanations; `attribute` as a recorder.

    Parameters
    ----------
    method, labels, label_names, times, average, channels, layer, gate, composite, transport, check_answers
        As for `attribute`.

    Raises
    ------
    ParameterError
        If the method does not exist or does not take an option.
    LabelError, UnsupportedModelError, ResultSizeError
        When a run begins; see `begin`.
    """

    def __init__(
        self,
        method: str,
        *,
        labels: Target = "predicted",
        label_names: Sequence[str] | None = None,
        times: float | Sequence[float] | None = None,
        average: Any = None,
        channels: str = "sum",
        layer: str | None = None,
        gate: str | None = None,
        composite: Any = None,
        transport: str | None = None,
        check_answers: bool = True,
    ) -> None:
        super().__init__(times=times, average=average)
        self._method, self._given_options = _choose_method(method, channels, layer, gate, composite, transport)
        self._labels, self._label_names, self._channels = labels, label_names, channels
        self._check_answers = check_answers

    def begin(self, run: Any) -> None:
        """Check labels, the method and the size of the result; see `Recorder.begin`.

        Parameters
        ----------
        run : Run
            The run that will feed it.

        Raises
        ------
        LabelError
            If a label does not exist, or the names do not fit the readout.
        ParameterError
            If a time is not in the run, or an option of the method is out of its range.
        UnsupportedModelError
            If the method is not defined for a layer of the model, or the network is not that of its model.
        ResultSizeError
            If the result would be larger than the memory that is free.
        """
        super().begin(run)
        net, n_images = run.net, len(run.images)
        self._options = self._method.prepare(net.reduced, **self._given_options)
        self._names = name_labels(net.head, self._label_names)
        named = self._label_names is not None
        self._targets = Targets(self._labels, net.head, self._names, named=named, n_images=n_images)
        keeps = self._channels == "keep"
        shape = attribution_shape(net.reduced, self._options.get("layer"), keep_channels=keeps)
        leading = (n_images, len(self.steps))
        _check_room(leading, self._targets, shape)
        self._arrays = Arrays(leading, self._targets, shape, self.replay.linear_layers)
        self._logits = np.empty((*leading, net.head.n_labels), np.float32)
        self._cnn_logits = np.empty((n_images, net.head.n_labels), np.float32)
        self._chosen = np.empty((n_images, self._targets.n_targets), int)
        self._rows: Any = None
        self._largest, self._error = 0.0, 0.0
        # After all that is refused.
        self._lagging = warn_of_lag(net, run.images)
        self._answers = AnswersRecorder() if self._check_answers else None
        if self._answers is not None:
            self._answers.begin(run)

    def add(self, rows: slice, chunk: Any) -> None:
        """Record a chunk; see `Recorder.add`."""
        super().add(rows, chunk)
        if self._answers is not None:
            self._answers.add(rows, chunk)

    def receive(self, block: Block) -> None:
        """Explain some images at some times; see `MeasuredRecorder.receive`."""
        rows, times = block.rows, block.times
        if rows != self._rows:
            self._choose(rows)
        self._logits[rows, times] = by_time(block, block.logits)
        n_times = times.stop - times.start
        chosen, cnn_logits = (np.tile(values[rows], (n_times, 1)) for values in (self._chosen, self._cnn_logits))
        weights = self._targets.weights(chosen, cnn_logits, block.logits)
        for i in range(self._targets.n_targets):
            explained = self._method.explain(self.replay, block.images, block.told, weights[:, i], **self._options)
            self._compare(explained.logits, block.logits)
            values = _laid_out(explained.attribution, self.replay, self._options, self._channels)
            self._arrays.attribution[rows, times, i] = by_time(block, values)
            self._arrays.put_shares((rows, times, i), explained.shares, lambda values: by_time(block, values))

    def _choose(self, rows: slice) -> None:
        """Choose what is explained of some images, by what the CNN answers with the weights that the simulator has."""
        frames = self._run.frames(rows)
        sums = np.zeros((len(frames), self._run.net.head.n_labels))
        for i in range(frames.shape[1]):
            sums += self.replay(frames[:, i]).logits.numpy()
        self._cnn_logits[rows] = sums / frames.shape[1]
        self._chosen[rows] = self._targets.choose(rows, self._cnn_logits[rows])
        self._rows = rows

    def _compare(self, replayed: NDArray[Any], logits: NDArray[Any]) -> None:
        """See whether the model gives the logits of the network when it is told its activity."""
        self._error = max(self._error, float(np.abs(replayed - logits).max()))
        self._largest = max(self._largest, float(np.abs(logits).max()))

    def result(self) -> xr.Dataset:
        """Return what `attribute` does, and warn of what it warns of."""
        run, net = self._run, self._run.net
        layer = self._options.get("layer")
        how = {
            "head": str(net.head),
            **_described(self._options),
            "channels": self._channels,
            "average": str(self.average),
            **run.settings,
            **({"lagging": ", ".join(self._lagging)} if self._lagging else {}),
            "balanced": str(bool(net.channel_factors)),
            "replay_error": self._error / self._largest if self._largest else 0.0,
        }
        dataset = attribution_dataset(
            placed_head(net.reduced, net.head, layer), self._method, self._targets, self._names, self._arrays,
            chosen=self._chosen, logits=self._logits, cnn_logits=self._cnn_logits,
            coords={"time": time_axis(self.steps, run.dt)}, how=how, keep_channels=self._channels == "keep",
        )  # fmt: skip
        if self._answers is None:
            return dataset
        answers = self._answers.result()
        warn_of_answers(
            net, answers, self._names, n_steps=run.n_steps, dt=run.dt, trained=False, moving=run.images.moving,
            # `warn_of_answers` is a call more.
            stacklevel=user_stacklevel() + 1,
        )  # fmt: skip
        every = np.arange(len(self._names))
        found = answer_variables(answers, self._names, every, self.steps, readout=run.readout)
        return dataset.assign({name: found[name] for name in ("answer", "cnn_answer") if name in found})


def _choose_method(method, channels, layer, gate, composite, transport) -> tuple[Method, dict[str, Any]]:
    """Look up a method, before a model is read."""
    if not isinstance(channels, str) or channels not in _CHANNELS:
        raise ParameterError(f"channels: expected one of {list(_CHANNELS)}, got {channels!r}. Leave it out for 'sum'.")
    given = {"layer": layer, "gate": gate, "composite": composite, "transport": transport}
    return find_method(method, given)


def _laid_out(attribution: NDArray[Any], replay: Replay, options: Mapping[str, Any], channels: str) -> NDArray[Any]:
    """Give an attribution channels last, or their sum."""
    if options.get("layer") is None and has_channels_first(replay.reduced):
        attribution = np.moveaxis(attribution, 1, -1)
    return attribution if channels == "keep" else attribution.sum(axis=-1)


def _described(options: Mapping[str, Any]) -> dict[str, str]:
    """Say which options a method had, in attributes that files can hold."""
    return {name: str(value) for name, value in options.items() if value is not None}


def _check_room(leading: tuple[int, ...], targets: Targets, shape: tuple[int, ...]) -> None:
    """Refuse a result that is larger than the memory that is free."""
    n_images, n_times = leading
    size = "x".join(map(str, shape))
    factors = f"{n_images:,} images x {n_times:,} times x {targets.n_targets:,} targets x {size}"
    check_room(
        4 * math.prod((*leading, targets.n_targets, *shape)),
        what=f"result: attributions of {factors}",
        remedy="Explain fewer labels (labels=) or times (times=), or a part of the images at a time.",
    )
