"""Class-activation maps of a spiking network over time, and of the CNN that it came from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..checks.callers import user_stacklevel
from ..checks.memory import check_room
from ..checks.parameters import CNN_MINIBATCH, check_count, check_positive
from ..checks.sources import CheckedImages, Images
from ..conversion.network import CAMNetwork
from ..exceptions import ChannelMismatchError, ImageError, ParameterError, SilentFeaturesWarning
from ..models.coordinates import name_places
from ..models.simplify import features_and_logits, reduce_model
from ..models.source import read_model
from ..simulator import Simulator
from .answers import AnswersRecorder, warn_of_answers
from .backends import Chunk
from .decoding import SpikeReader, distinct_steps, feature_decoder, layer_decoder, whole_counts
from .kept_steps import KeptSteps, nearest_steps
from .labels import choose_labels, name_labels
from .lag import warn_of_lag
from .maps_dataset import answer_variables, maps_dataset, part_labels
from .projection import MapFilter, project
from .provenance import time_axis
from .recorder import Recorder, record
from .run import Run

__all__ = ["CamRecorder", "class_activation_map", "rate_cam", "spiking_cam"]


def class_activation_map(activity: ArrayLike, kernel: ArrayLike) -> NDArray[Any]:
    r"""Weight feature maps by the kernel of a linear readout.

    Computes :math:`M_l(y, x) = \sum_k w_{kl}\, a_k(y, x)` [1]_. Nothing is rectified, normalized or shifted by the
    bias, so the mean of the map over positions plus the bias is the logit.

    Parameters
    ----------
    activity : array_like of shape (..., K)
        Features, channels last, in the units of the layer's activation.
    kernel : array_like of shape (K, L)
        Readout weights [logit per unit of activity].

    Returns
    -------
    ndarray of shape (..., L)
        Maps [logit].

    Raises
    ------
    ChannelMismatchError
        If ``activity.shape[-1] != kernel.shape[0]``, or if ``kernel`` is not a matrix.

    References
    ----------
    .. [1] Zhou et al. (2016). Learning Deep Features for Discriminative Localization. CVPR. arXiv:1512.04150, eq. 2.

    Examples
    --------
    >>> activity = np.array([[[1.0, 2.0], [0.0, 4.0]]])  # one row of two positions, two channels
    >>> kernel = np.array([[3.0, 0.0], [-1.0, 1.0]])  # two channels, two labels
    >>> maps = ncam.class_activation_map(activity, kernel)
    >>> maps[..., 0]
    array([[ 1., -4.]])
    >>> np.array_equal(maps.mean(axis=(0, 1)), activity.mean(axis=(0, 1)) @ kernel)  # the logits, without bias
    True
    """
    activity, kernel = np.asarray(activity), np.asarray(kernel)
    if kernel.ndim != 2 or activity.ndim < 1 or activity.shape[-1] != kernel.shape[0]:
        raise ChannelMismatchError(
            f"activity: its last axis has to match the rows of the kernel; expected (..., K) and (K, L), got "
            f"{activity.shape} and {kernel.shape}. Put channels last, and pass the kernel of the readout."
        )
    return activity @ kernel


def spiking_cam(
    net: CAMNetwork,
    images: Images,
    *,
    n_steps: int,
    labels: int | str | Sequence[int | str] | None = None,
    label_names: Sequence[str] | None = None,
    times: float | Sequence[float] | None = None,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    chunk_steps: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
    keep_features: bool = False,
    count_spikes: bool = False,
    check_answers: bool = True,
    progress_bar: bool = True,
) -> xr.Dataset:
    """Run a converted network, and measure its class-activation maps at every time step.

    The readout's weights are the simulator's (``sim.data[net.readout].weights``), so a network that was trained
    further is explained by the weights that it has. They do not change while it runs, unless a learning rule acts on
    them (`nengo_cam.from_network`): then the map of a step has the weights of that step. The maps change, because the
    activity does. Time runs in chunks: a chunk's features are projected onto the labels and dropped, so memory beyond
    the result itself does not grow with ``n_steps``.

    Parameters
    ----------
    net : CAMNetwork
        Made by `nengo_cam.convert`, `nengo_cam.from_converter` or `nengo_cam.from_network`.
    images : array_like of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        Still images, or moving ones with one frame per time step, in the range that the model was trained on. For
        moving ones convert with `nengo_cam.SigmaDelta`: spikes of one size lag behind by tens of steps. Or a source of
        this shape, which is read a minibatch at a time; see `nengo_cam.checks.sources.ImageSource`.
    n_steps : int
        Number of time steps.
    labels : int, str or sequence of them, optional
        Labels to map, by index or name. Default: all.
    label_names : sequence of str, optional
        Names of all L labels, in the order of the readout. A name that comes again gets a number: ``"crane (2)"``.
    times : float or sequence of float, optional
        When to keep maps and logits [s]: the nearest steps, once each. What is kept is their running mean up to that
        time, as a single step of spikes is no map; it is what `nengo_cam.cumulative` gives there. Where the readout is
        "level" (below), a step is one, and is kept as it is. Default: every step, as it is.
    simulator : type or simulator
        `nengo_cam.Simulator`, which runs all steps at once; ``nengo_dl.Simulator``, ``nengo.Simulator`` or a subclass.
        Or an open `nengo_cam.Simulator` or `nengo_dl.Simulator` of ``net.net``, whose weights and minibatch size are
        used and whose state is reset.
    minibatch_size : int, optional
        Images that run at a time. A last, smaller minibatch is padded. Does not change the result. Default: at most 16.
    chunk_steps : int, optional
        Time steps that are kept at a time. Does not change the result. Default: as many as fit a memory budget.
    dt : float
        Time step [s].
    seed : int, optional
        Seed of initial voltages and of stochastic neurons. Default: ``net.net.seed``, or else a random one. It is
        recorded in the result.
    keep_features : bool
        Whether to keep the features of all time steps and channels; they are large.
    count_spikes : bool
        Whether to count the spikes of each layer. Takes a simulator's class, not an open simulator.
    check_answers : bool
        Whether to run the CNN too, one frame for each image, and to compare what both answer. A network that was built
        by hand has none.
    progress_bar : bool
        Whether to show the progress.

    Returns
    -------
    xarray.Dataset
        * ``cam`` (image, time, label, y, x), ``logits`` (image, time, label) and ``bias`` (label) [logit];
        * ``cnn_logits`` (image, label) [logit], those of the CNN; for moving images (image, time, label);
        * if ``labels`` are chosen, the logits of all labels there are, so that answers, latencies and the strongest
          other label are right whatever is mapped: ``all_logits`` (image, time, all_label), ``all_bias`` (all_label)
          and ``all_cnn_logits`` [logit];
        * ``answer`` and ``cnn_answer`` (image): the labels that win among all there are, that of the spiking network by
          the mean of its logits over the last half of the run, or by the last step if the readout is "level" (below). A
          model with a single label answers 1 where its sigmoid is above 1/2, and without a sigmoid not at all;
        * if asked for, ``features`` (image, time, channel, y, x), and ``spike_count`` (image, time, layer), spikes of
          all neurons of a layer in a step; a spike of either sign counts. Where neurons send spikes of several sizes,
          ``spike_size`` (image, time, layer) is the sum of these sizes [quanta]; a spike of one size is one.

        ``time`` [s] is ``(i + 1) * dt``; ``y`` and ``x`` are the centers of what the map's cells see, in pixels of the
        image (`nengo_cam.models.geometry`). ``attrs`` say how it was made, and how it is read: ``readout`` is "mean" if
        maps and logits have to be averaged over time, as those of spikes of one size, and "level" if those of a step
        are an estimate by themselves, as with `nengo_cam.SigmaDelta` or without spikes. ``spike_kind`` says what the
        neurons send: "unit", "signed unit", "power of two", "graded", several of them joined by commas, or "none".

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ImageError
        If ``images`` does not fit the network, is empty, or holds NaN or infinity.
    ParameterError
        If ``n_steps``, ``minibatch_size`` or ``chunk_steps`` is not a whole number of at least 1, or ``dt`` is not
        positive; if ``seed`` is not a seed, or a time is not in the run.
    LabelError
        If a label does not exist, or ``label_names`` does not name all labels.
    SimulatorError
        If ``simulator`` is unknown or cannot run the network, or activity leaves the range of numbers.
    ResultSizeError
        If the result would be larger than the memory that is free.

    Warns
    -----
    AnswerWarning
        If the network answers otherwise than its CNN for more than `nengo_cam.measurement.answers.DIFFERING_SHARE` of
        the images.
    SilentFeaturesWarning
        If no pooled neuron was active at any time: the maps are zero.
    InputRangeWarning
        If images lie far outside the range of the images that the network was calibrated on.
    MovingInputWarning
        If images move, and the neurons send spikes of one size and remember what was shown before; ``attrs["lagging"]``
        names them, too.

    Examples
    --------
    >>> spiking = ncam.spiking_cam(net, images, n_steps=20, labels=[3, 5], seed=0, progress_bar=False)
    >>> spiking.cam.dims, spiking.cam.shape
    (('image', 'time', 'label', 'y', 'x'), (4, 20, 2, 28, 28))
    >>> spiking.attrs["simulator"], spiking.attrs["seed"]
    ('nengo_cam.Simulator', 0)

    The map is complete: its mean and the bias are the logit, at every step.

    >>> logits = spiking.cam.mean(("y", "x")) + spiking.bias
    >>> bool(np.allclose(logits, spiking.logits, atol=1e-4))
    True
    """
    recorder = CamRecorder(
        labels=labels, label_names=label_names, times=times, keep_features=keep_features, count_spikes=count_spikes,
        check_answers=check_answers,
    )  # fmt: skip
    (dataset,) = record(
        net, images, [recorder], n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size,
        chunk_steps=chunk_steps, dt=dt, seed=seed, progress_bar=progress_bar,
    )  # fmt: skip
    return dataset


def rate_cam(
    net_or_model: Any,
    images: Images,
    *,
    labels: int | str | Sequence[int | str] | None = None,
    label_names: Sequence[str] | None = None,
    dt: float = 0.001,
    minibatch_size: int = CNN_MINIBATCH,
    output: int | str | None = None,
    coords: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Compute the class-activation maps of the CNN itself, without spikes.

    Parameters
    ----------
    net_or_model : CAMNetwork or tf.keras.Model
        A converted network, for the maps of the Keras model that it came from, as that was at conversion; or such a
        model. What `nengo_dl.Simulator.fit` changes in the converted network is not seen here.
    images : array_like of shape (N, Y, X, channels) or (N, T, Y, X, channels)
        Images, as for `spiking_cam`. For moving images the result has a time axis: the map of each frame by itself.
    labels, label_names
        As for `spiking_cam`.
    dt : float
        Time from one frame to the next, for moving images [s].
    minibatch_size : int
        Images that run at a time.
    output : int or str, optional
        Which output of a Keras model, by number or by the name of its layer, if it has several.
    coords : mapping of {str: sequence}, optional
        What rows and columns of the input of a Keras model are called, as for `nengo_cam.convert`.

    Returns
    -------
    xarray.Dataset
        As from `spiking_cam`, without ``time``: ``cam`` (image, label, y, x), ``logits`` (image, label) and ``bias``;
        if ``labels`` are chosen, ``all_logits`` (image, all_label) and ``all_bias``.

    Raises
    ------
    ModelTypeError, HeadError
        If it is not a Keras model with a GAP head.
    MissingCNNError
        If it is a network that was built by hand.
    UnsupportedModelError
        If it holds something that cannot be rewritten.
    ImageError, ParameterError, LabelError
        As for `spiking_cam`.

    Examples
    --------
    >>> rate = ncam.rate_cam(net, images)
    >>> rate.cam.dims
    ('image', 'label', 'y', 'x')
    >>> np.array_equal(rate.logits.argmax("label"), model.predict(images, verbose=0).argmax(axis=1))
    True
    """
    check_count("minibatch_size", minibatch_size)
    check_positive("dt", dt, unit="seconds")
    if isinstance(net_or_model, CAMNetwork):
        for name, value, has in (("output", output, "one"), ("coords", coords, "them already")):
            if value is not None:
                raise ParameterError(
                    f"{name}: a converted network has {has}; expected None, got {value!r}. Choose it in "
                    "nengo_cam.convert."
                )
        net_or_model.require_cnn("rate_cam")
        model, head = net_or_model.reduced.model, net_or_model.head
    else:
        reduced = reduce_model(read_model(net_or_model, output=output))
        model, head = reduced.model, name_places(reduced.head, coords)
    checked = CheckedImages(images, head.input_shape)
    names = name_labels(head, label_names)
    chosen = choose_labels(head, labels, names, named=label_names is not None)
    leading = checked.shape[:2] if checked.moving else checked.shape[:1]
    maps = np.empty((math.prod(leading), len(chosen), *head.map_shape), np.float32)
    logits = np.empty((math.prod(leading), head.n_labels), np.float32)
    outputs = features_and_logits(model, head.pooling)
    for batch, frames in checked.frames(minibatch_size):
        features, batch_logits = outputs(frames, training=False)
        maps[batch] = np.moveaxis(class_activation_map(features.numpy(), head.kernel[:, chosen]), -1, 1)
        logits[batch] = batch_logits.numpy()
    # After the run: only the CNN itself tells whether its activity overflows.
    if not (np.isfinite(maps).all() and np.isfinite(logits).all()):
        raise ImageError(
            "images: the CNN's activity for them is beyond the range of numbers; expected finite maps, got NaN or "
            "infinity. Scale the images as the model was trained."
        )
    whole = {"cam": maps.reshape((*leading, *maps.shape[1:])), "logits": logits.reshape((*leading, -1))}
    arrays, every = part_labels(whole, chosen, names, head.bias)
    coords = {"time": time_axis(checked.shape[1], dt)} if checked.moving else {}
    how = {"simulator": "none, the Keras model"}
    return maps_dataset(head, arrays, head.bias[chosen], names[chosen], coords, how, every=every)


class CamRecorder(Recorder):
    """Projects chunks of features onto labels, and keeps the projections; `nengo_cam.spiking_cam` as a recorder.

    Parameters
    ----------
    labels, label_names, times, keep_features, count_spikes, check_answers
        As for `nengo_cam.spiking_cam`.

    Raises
    ------
    LabelError, ParameterError, ResultSizeError
        When a run begins; see `begin`.
    SimulatorError
        When a chunk is added, if there are more spikes than can be counted.
    """

    def __init__(
        self,
        *,
        labels: int | str | Sequence[int | str] | None = None,
        label_names: Sequence[str] | None = None,
        times: float | Sequence[float] | None = None,
        keep_features: bool = False,
        count_spikes: bool = False,
        check_answers: bool = True,
    ) -> None:
        self._labels = labels
        self._label_names = label_names
        self._times = times
        self._keep_features = keep_features
        self._count_spikes = count_spikes
        self._check_answers = check_answers

    def observes(self, net: CAMNetwork) -> list[str]:
        """Name the layers that spike, if their spikes are counted; see `Recorder.observes`."""
        return list(net.spiking_layers) if self._count_spikes else []

    def begin(self, run: Run) -> None:
        """Check labels, times and the size of the result; see `Recorder.begin`.

        Parameters
        ----------
        run : Run
            The run that will feed it.

        Raises
        ------
        LabelError
            If a label does not exist, or the names do not fit the readout.
        ParameterError
            If a time is not in the run.
        ResultSizeError
            If the result would be larger than the memory that is free.
        """
        net, head = run.net, run.net.head
        self._run = run
        self._names = name_labels(head, self._label_names)
        self._chosen = choose_labels(head, self._labels, self._names, named=self._label_names is not None)
        self._steps = None if self._times is None else nearest_steps(self._times, run.n_steps, run.dt)
        self._readers = {name: SpikeReader(layer_decoder(net, name, run.dt)) for name in self.observes(net)}
        self._sizes_differ = any(reader.decoder.held for reader in self._readers.values())
        shapes = {"cam": (len(self._chosen), *head.map_shape), "logits": (head.n_labels,)}
        if self._count_spikes:
            shapes["spike_count"] = (len(self._readers),)
        if self._sizes_differ:
            shapes["spike_size"] = (len(self._readers),)
        if self._keep_features:
            shapes["features"] = (head.n_channels, *head.map_shape)
        # A level at a step is an estimate, a spike is not.
        self._kept = KeptSteps(len(run.images), run.n_steps, self._steps, shapes, means=run.readout == "mean")
        self._check_room(sum(math.prod(shape) for shape in shapes.values()))
        self.step_size = math.prod(shapes["cam"])
        self._any_activity = False
        self._readout: Any = None
        self._filter = None if net.map_synapse is None else MapFilter(net.map_synapse, run.dt)
        self._answers = AnswersRecorder() if self._check_answers and net.has_cnn else None
        # After all that is refused.
        self._lagging = warn_of_lag(net, run.images)
        if self._answers is not None:
            self._answers.begin(run)

    def _check_room(self, values: int) -> None:
        """Refuse a result that is larger than the memory that is free."""
        n_images, n_times = len(self._run.images), self._kept.n_times
        size = "x".join(map(str, self._run.net.head.map_shape))
        factors = f"{n_images:,} images x {n_times:,} times x {len(self._chosen):,} labels x {size} cells"
        check_room(
            # In single precision; nengo.Simulator's takes twice that.
            4 * n_images * n_times * values,
            what=f"result: maps of {factors}",
            remedy="Map fewer labels (labels=), keep chosen times (times=), or run a part of the images at a time and "
            "write each part to a file (examples/dataset_to_netcdf.py).",
        )

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Record a chunk; see `Recorder.add`."""
        head = self._run.net.head
        if self._readout is None:
            # Here and not in `begin`: only an open simulator has weights, perhaps trained ones.
            self._readout = self._run.backend.readout_parameters()
        # What has settled is projected once. Spikes come anew at each step, and so do weights that learn.
        once = self._run.readout == "level" and chunk.kernel is None
        features = distinct_steps(chunk.features) if once else chunk.features
        features = features.reshape((*features.shape[:2], *head.map_shape, head.n_channels))
        self._any_activity = self._any_activity or bool(features.any())
        kernel = (self._readout[0] if chunk.kernel is None else chunk.kernel)[..., self._chosen]
        # Kernels that were put together of several connections come in double precision.
        kernel = kernel.astype(features.dtype, copy=False)
        maps = class_activation_map(features, kernel) if kernel.ndim == 2 else project(features, kernel)
        maps = np.moveaxis(maps, -1, 2)
        if self._filter is not None:
            maps = self._filter(chunk.start, maps)
        self._kept.put("cam", rows, chunk.steps, maps)
        self._kept.put("logits", rows, chunk.steps, chunk.logits)
        if self._count_spikes:
            # Of shape also where no layer spikes.
            totals = np.zeros((2, *chunk.logits.shape[:2], len(self._readers)))
            # Where nothing changes any more, nothing was sent.
            for i, (name, reader) in enumerate(() if chunk.settled else self._readers.items()):
                totals[..., i] = reader.totals(chunk.steps, chunk.observed[name])
            events, sizes = totals
            self._kept.put("spike_count", rows, chunk.steps, whole_counts(events))
            if self._sizes_differ:
                self._kept.put("spike_size", rows, chunk.steps, whole_counts(sizes))
        if self._keep_features:
            activity = feature_decoder(self._run.net).activity(features)
            self._kept.put("features", rows, chunk.steps, np.moveaxis(activity, -1, 2))
        if self._answers is not None:
            self._answers.add(rows, chunk)

    def result(self) -> xr.Dataset:
        """Return what `nengo_cam.spiking_cam` does, and warn of what it warns of."""
        run, net = self._run, self._run.net
        if not self._any_activity:
            _warn_of_silence(net, run.n_steps)
        coords: dict[str, Any] = {"time": time_axis(run.n_steps if self._steps is None else self._steps, run.dt)}
        if self._count_spikes:
            coords["layer"] = list(self._readers)
        arrays, every = part_labels(self._kept.arrays, self._chosen, self._names, self._readout[1])
        bias = self._readout[1][self._chosen]
        labels = self._names[self._chosen]
        dataset = maps_dataset(net.head, arrays, bias, labels, coords, self._settings(), every=every)
        if self._answers is None:
            return dataset
        answers = self._answers.result()
        warn_of_answers(
            net, answers, self._names, n_steps=run.n_steps, dt=run.dt, trained=self._trained, moving=run.images.moving,
            # `warn_of_answers` is a call more.
            stacklevel=user_stacklevel() + 1,
        )  # fmt: skip
        chosen = answer_variables(answers, self._names, self._chosen, self._steps, readout=run.readout)
        return dataset.assign(chosen)

    def _settings(self) -> dict[str, Any]:
        """Say how the network was made and run."""
        return {
            **self._run.settings,
            **({"lagging": ", ".join(self._lagging)} if self._lagging else {}),
            "channels": "balanced" if self._run.net.channel_factors else "as in the model",
            **({} if self._steps is None else {"time_reduction": self._reduction}),
        }

    @property
    def _reduction(self) -> str:
        """What was done to chosen steps."""
        return "running mean" if self._run.readout == "mean" else "none, each step by itself"

    @property
    def _trained(self) -> bool:
        """Whether the readout has other weights than the CNN's."""
        kernel, bias = self._readout
        head = self._run.net.head
        return not (_is_close(kernel, head.kernel) and _is_close(bias, head.bias))


def _is_close(weights: NDArray[np.floating], source: NDArray[np.floating]) -> bool:
    """Tell whether weights of a readout are those of its CNN, up to rounding."""
    return bool(np.allclose(weights, source, rtol=1e-4, atol=1e-5 * np.abs(source).max(initial=0)))


def _warn_of_silence(net: CAMNetwork, n_steps: int) -> None:
    remedy = "Raise the firing rates: convert(model, calibrate_on=images), or scale_firing_rates"
    if not net.has_cnn:
        remedy = "Raise the gain or bias of its neurons, or n_steps"
    warnings.warn(
        f"network of {net.head.model!r}: {net.head.features!r} was silent for all images in {n_steps} steps, so "
        f"the maps are zero. {remedy}.",
        SilentFeaturesWarning,
        stacklevel=user_stacklevel(),
    )
