"""Class-activation maps of a spiking network over time, and of the CNN that it came from."""

import json
import math
import numbers
import warnings

import numpy as np
import xarray as xr

from .. import compat
from ..checks.images import check_images
from ..checks.memory import check_room
from ..checks.parameters import check_count, check_positive, number_twins
from ..conversion.convert import CAMNetwork
from ..exceptions import ChannelMismatchError, ImageError, LabelError, ParameterError, SilentFeaturesWarning
from ..models.simplify import features_and_logits, reduce_model
from ..models.source import read_model
from ..simulator import Simulator
from .answers import AnswersRecorder, warn_of_answers
from .run import Run, check_run, whole_counts

__all__ = ["class_activation_map", "rate_cam", "spiking_cam"]


def class_activation_map(activity, kernel):
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
    net,
    images,
    *,
    n_steps,
    labels=None,
    label_names=None,
    times=None,
    simulator=Simulator,
    minibatch_size=None,
    chunk_steps=None,
    dt=0.001,
    seed=None,
    keep_features=False,
    count_spikes=False,
    check_answers=True,
    progress_bar=True,
):
    """Run a converted network, and measure its class-activation maps at every time step.

    The readout's weights are the simulator's (``sim.data[net.readout].weights``), so a network that was trained
    further is explained by the weights that it has. They do not change while it runs; the maps do, because the
    activity does. Time runs in chunks: a chunk's features are projected onto the labels and dropped, so memory beyond
    the result itself does not grow with ``n_steps``.

    Parameters
    ----------
    net : CAMNetwork
        Made by `nengo_cam.convert`.
    images : array_like of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        Still images, or moving ones with one frame per time step, in the range that the model was trained on.
    n_steps : int
        Number of time steps.
    labels : int, str or sequence of them, optional
        Labels to map, by index or name. Default: all.
    label_names : sequence of str, optional
        Names of all L labels, in the order of the readout. A name that comes again gets a number: ``"crane (2)"``.
    times : float or sequence of float, optional
        When to keep maps and logits [s]: the nearest steps, once each. What is kept is their running mean up to that
        time, as a single step of spikes is no map; it is what `nengo_cam.cumulative` gives there. Default: every step,
        as it is.
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
        Whether to run the CNN too, one frame for each image, and to compare what both answer.
    progress_bar : bool
        Whether to show the progress.

    Returns
    -------
    xarray.Dataset
        * ``cam`` (image, time, label, y, x), ``logits`` (image, time, label) and ``bias`` (label) [logit];
        * ``cnn_logits`` (image, label) [logit], those of the CNN; for moving images (image, time, label);
        * ``answer`` and ``cnn_answer`` (image): the labels that win among all there are, that of the spiking network by
          the mean of its logits over the last half of the run. A model with a single label answers 1 where its sigmoid
          is above 1/2, and without a sigmoid not at all;
        * if asked for, ``features`` (image, time, channel, y, x), and ``spike_count`` (image, time, layer), spikes of
          all neurons of a layer in a step; a spike of either sign counts.

        ``time`` [s] is ``(i + 1) * dt``; ``y`` and ``x`` are the centers of what the map's cells see, in pixels of the
        image (`nengo_cam.models.geometry`). ``attrs`` say how it was made.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ImageError
        If ``images`` does not fit the network, is empty, or holds NaN or infinity.
    ParameterError
        If ``n_steps``, ``minibatch_size`` or ``chunk_steps`` is not a whole number of at least 1, or ``dt`` is not
        positive; if a time is not in the run.
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
    check_run(net, n_steps=n_steps, minibatch_size=minibatch_size, dt=dt, seed=seed, name="net")
    names = _label_coordinate(net.head, label_names)
    chosen = _choose_labels(net.head, labels, names, named=label_names is not None)
    kept = None if times is None else _nearest_steps(times, n_steps, dt)
    run = Run(
        net, images, n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size, dt=dt, seed=seed,
        progress_bar=progress_bar, observe_neurons=count_spikes, chunk_steps=chunk_steps,
        result_size=len(chosen) * math.prod(net.head.map_shape),
    )  # fmt: skip
    result = _Recorder(run, chosen, kept, keep_features=keep_features, count_spikes=count_spikes)
    result.check_room()
    answers = AnswersRecorder(run)
    with run:
        kernel, bias = run.backend.readout_parameters()
        trained = not (_is_close(kernel, net.head.kernel) and _is_close(bias, net.head.bias))
        for rows, chunk in run.chunks():
            result.add(rows, chunk, kernel)
            answers.add(rows, chunk)
    if not result.any_activity:
        _warn_of_silence(net, n_steps)
    steps = np.arange(n_steps) if kept is None else kept
    coords = {"time": ("time", (steps + 1) * dt, {"units": "s", "long_name": "time"})}
    attrs = {
        **run.provenance,
        "n_steps": int(n_steps),
        "synapse": str(net.synapse),
        "neurons": ", ".join(sorted({str(e.neuron_type) for e in net.net.all_ensembles})),
        "firing_rate_scales": json.dumps(net.firing_rate_scales),
        "channels": "balanced" if net.channel_factors else "as in the model",
    }
    if kept is not None:
        attrs["time_reduction"] = "running mean"
    if count_spikes:
        coords["layer"] = list(run.layers)
    dataset = _dataset(net.head, result.arrays, bias[chosen], names[chosen], coords, attrs)
    if not check_answers:
        return dataset
    answered = answers.result()
    warn_of_answers(net, answered, names, n_steps=n_steps, dt=dt, trained=trained)
    return dataset.assign(_answer_variables(answered, names, chosen, kept))


def rate_cam(net_or_model, images, *, labels=None, label_names=None, dt=0.001, minibatch_size=32, output=None):
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

    Returns
    -------
    xarray.Dataset
        As from `spiking_cam`, without ``time``: ``cam`` (image, label, y, x), ``logits`` (image, label) and ``bias``.

    Raises
    ------
    ModelTypeError, HeadError
        If it is not a Keras model with a GAP head.
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
        model, head = net_or_model.converter.model, net_or_model.head
    else:
        reduced = reduce_model(read_model(net_or_model, output=output))
        model, head = reduced.model, reduced.head
    images = check_images(images, head.input_shape)
    names = _label_coordinate(head, label_names)
    chosen = _choose_labels(head, labels, names, named=label_names is not None)
    frames = images.reshape((-1, *head.input_shape))
    maps = np.empty((len(frames), len(chosen), *head.map_shape), np.float32)
    logits = np.empty((len(frames), len(chosen)), np.float32)
    outputs = features_and_logits(model, head.pooling)
    for start in range(0, len(frames), minibatch_size):
        batch = slice(start, start + minibatch_size)
        features, batch_logits = outputs(frames[batch], training=False)
        maps[batch] = np.moveaxis(class_activation_map(features.numpy(), head.kernel[:, chosen]), -1, 1)
        logits[batch] = batch_logits.numpy()[:, chosen]
    if not (np.isfinite(maps).all() and np.isfinite(logits).all()):
        raise ImageError(
            "images: the CNN's activity for them is beyond the range of numbers; expected finite maps, got NaN or "
            "infinity. Scale the images as the model was trained."
        )
    coords = {}
    if images.ndim == len(head.input_shape) + 2:
        maps = maps.reshape((*images.shape[:2], *maps.shape[1:]))
        logits = logits.reshape((*images.shape[:2], *logits.shape[1:]))
        coords["time"] = ("time", np.arange(1, images.shape[1] + 1) * dt, {"units": "s", "long_name": "time"})
    attrs = {"simulator": "none, the Keras model"}
    return _dataset(head, {"cam": maps, "logits": logits}, head.bias[chosen], names[chosen], coords, attrs)


class _Recorder:
    """Projects chunks of features onto labels, and keeps the projections: of each step, or running means at some.

    Parameters
    ----------
    run : Run
        The run whose chunks are added.
    chosen : ndarray of int
        Labels that are kept.
    kept : ndarray of int or None
        Steps at which running means are kept, increasing; None keeps every step as it is.
    keep_features, count_spikes : bool
        Whether to keep features and the spikes of each layer.
    """

    def __init__(self, run, chosen, kept, *, keep_features, count_spikes):
        self._run = run
        self._head = head = run.network.head
        self._feature_factors = run.network.feature_factors.astype(np.float32)
        self._chosen = chosen
        self._kept = kept
        self._shapes = {"cam": (len(chosen), *head.map_shape), "logits": (len(chosen),)}
        if count_spikes:
            self._shapes["spike_count"] = (len(run.heights),)
        if keep_features:
            self._shapes["features"] = (head.n_channels, *head.map_shape)
        self._leading = (len(run.images), run.n_steps if kept is None else len(kept))
        self._sums = {}
        self.arrays = {}
        self.any_activity = False

    def check_room(self):
        """Refuse a result that is larger than the memory that is free."""
        n_images, n_times = self._leading
        values = sum(math.prod(shape) for shape in self._shapes.values())
        size = "x".join(map(str, self._head.map_shape))
        factors = f"{n_images:,} images x {n_times:,} times x {len(self._chosen):,} labels x {size} cells"
        check_room(
            # In single precision; nengo.Simulator's takes twice that.
            4 * n_images * n_times * values,
            what=f"result: maps of {factors}",
            remedy="Map fewer labels (labels=), keep chosen times (times=), or run a part of the images at a time and "
            "write each part to a file (examples/dataset_to_netcdf.py).",
        )

    def add(self, rows, chunk, kernel):
        """Record a chunk for the images ``rows``."""
        features = chunk.features
        features = features.reshape((*features.shape[:2], *self._head.map_shape, self._head.n_channels))
        self.any_activity = self.any_activity or bool(features.any())
        maps = class_activation_map(features, kernel[:, self._chosen])
        self._put("cam", rows, chunk.steps, np.moveaxis(maps, -1, 2))
        self._put("logits", rows, chunk.steps, chunk.logits[..., self._chosen])
        if "spike_count" in self._shapes:
            activity = (np.abs(output).sum(axis=-1, dtype=float) for output in chunk.observed)
            counts = [total / height for total, height in zip(activity, self._run.heights)]
            self._put("spike_count", rows, chunk.steps, whole_counts(np.stack(counts, axis=-1)))
        if "features" in self._shapes:
            self._put("features", rows, chunk.steps, np.moveaxis(features / self._feature_factors, -1, 2))

    def _put(self, name, rows, steps, values):
        if name not in self.arrays:
            # In the simulator's own precision, which the first chunk tells; means of counts are no counts.
            dtype = values.dtype if self._kept is None or values.dtype.kind == "f" else float
            self.arrays[name] = np.empty((*self._leading, *self._shapes[name]), dtype)
        if self._kept is None:
            self.arrays[name][rows, steps] = values
        else:
            self._put_means(name, rows, steps, values)

    def _put_means(self, name, rows, steps, values):
        """Add a chunk up, and keep the mean at each of the steps that are wanted."""
        total = 0 if steps.start == 0 else self._sums[name]
        begin = steps.start
        first, last = np.searchsorted(self._kept, (steps.start, steps.stop))
        for position in range(first, last):
            end = self._kept[position] + 1
            total = total + values[:, begin - steps.start : end - steps.start].sum(axis=1, dtype=float)
            self.arrays[name][rows, position] = total / end
            begin = end
        self._sums[name] = total + values[:, begin - steps.start :].sum(axis=1, dtype=float)


def _is_close(weights, source):
    """Tell whether weights of a readout are those of its CNN, up to rounding."""
    return np.allclose(weights, source, rtol=1e-4, atol=1e-5 * np.abs(source).max(initial=0))


def _nearest_steps(times, n_steps, dt):
    """Turn times [s] into the steps nearest to them, increasing, each once."""
    try:
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
    except (TypeError, ValueError):
        wanted = np.array([])
    steps = np.rint(wanted / dt) - 1
    if wanted.ndim != 1 or wanted.size == 0 or not ((steps >= 0) & (steps < n_steps)).all():
        raise ParameterError(
            f"times: not in the run; expected at least one time from {dt:g} to {n_steps * dt:g} s, got {times!r}. Give "
            "times in seconds."
        )
    return np.unique(steps.astype(int))


def _answer_variables(answers, names, chosen, kept):
    """Put what was answered under names and units."""
    logits = answers.cnn_logits
    moving = logits.ndim == 3
    if moving and kept is not None:
        # Running means, as all that is kept.
        logits = np.cumsum(logits, axis=1, dtype=float)[:, kept] / (kept + 1)[:, None]
    dims = ("image", "time", "label") if moving else ("image", "label")
    attrs = {"units": "logit", "long_name": "logit of the CNN"}
    variables = {"cnn_logits": (dims, logits[..., chosen].astype(np.float32), attrs)}
    if answers.spiking is not None:
        valid = names if len(names) > 1 else np.arange(2)
        for name, who, won in (
            ("answer", "the spiking network, mean of the last half of the run", answers.spiking),
            ("cnn_answer", "the CNN", answers.cnn),
        ):
            variables[name] = ("image", valid[won], {"long_name": f"answer of {who}"})
    return variables


def _label_coordinate(head, label_names):
    """Name or number all labels; a name that comes again gets a number."""
    if label_names is None:
        return np.arange(head.n_labels)
    given = list(label_names) if np.iterable(label_names) and not isinstance(label_names, str) else [label_names]
    if not all(isinstance(name, str) for name in given):
        raise LabelError(f"label_names: expected strings, got {given[:3]!r}. Convert them with str.")
    if len(given) != head.n_labels:
        raise LabelError(
            f"label_names: expected {head.n_labels} names, one for each label of {head.readout!r}, got {len(given)}. "
            "Name every label once."
        )
    return np.array(number_twins(given))


def _choose_labels(head, labels, names, *, named):
    """Turn labels, by index or name, into indices."""
    if labels is None:
        return np.arange(head.n_labels)
    wanted = [labels] if isinstance(labels, str) or np.ndim(labels) == 0 else list(labels)
    wanted = [label.item() if isinstance(label, np.ndarray) and label.ndim == 0 else label for label in wanted]
    valid = names.tolist()
    chosen = []
    for label in wanted:
        if isinstance(label, numbers.Integral) and not isinstance(label, bool) and 0 <= label < head.n_labels:
            chosen.append(int(label))
        elif isinstance(label, str) and label in valid:
            chosen.append(valid.index(label))
        else:
            raise LabelError(
                f"labels: {label!r} does not exist; expected an index from 0 to {head.n_labels - 1}"
                + (f" or one of {_brief(valid)}" if named else "")
                + f", got {label!r}. "
                + ("Choose one of these." if named else "Pass label_names to use names."),
                label=label,
            )
    if not chosen or len(set(chosen)) != len(chosen):
        raise LabelError(f"labels: expected at least one label, each once, got {wanted!r}. Leave it out for all.")
    return np.array(chosen)


def _brief(names, longest=20):
    return repr(names) if len(names) <= longest else f"{names[:longest]!r} and {len(names) - longest} more"


def _warn_of_silence(net, n_steps):
    warnings.warn(
        f"network of {net.model.name!r}: {net.head.features!r} was silent for all images in {n_steps} steps, so "
        "the maps are zero. Raise the firing rates: convert(model, calibrate_on=images), or scale_firing_rates.",
        SilentFeaturesWarning,
        stacklevel=3,
    )


def _dataset(head, arrays, bias, labels, coords, attrs):
    """Put arrays under names, units and provenance."""
    leading = ("image", "time") if "time" in coords else ("image",)
    units = {"units": "logit"}
    variables = {
        "cam": ((*leading, "label", *head.dims), arrays["cam"], {**units, "long_name": "class-activation map"}),
        "logits": ((*leading, "label"), arrays["logits"], {**units, "long_name": "logit"}),
        "bias": (("label",), bias, {**units, "long_name": "bias of the readout"}),
    }
    if "features" in arrays:
        variables["features"] = (
            (*leading, "channel", *head.dims),
            arrays["features"],
            {"units": "activation", "long_name": f"activity of {head.features}"},
        )
    if "spike_count" in arrays:
        variables["spike_count"] = (
            (*leading, "layer"),
            arrays["spike_count"],
            {"units": "spikes per step", "long_name": "spikes of all neurons of the layer"},
        )
    pixels = {"units": "pixel"}
    names = {dim: {"long_name": name} for dim, name in (("z", "plane"), ("y", "row"), ("x", "column"))}
    coords = {
        "image": np.arange(len(arrays["logits"])),
        **coords,
        "label": labels,
        **{dim: (dim, centers, {**pixels, **names[dim]}) for dim, centers in zip(head.dims, head.centers)},
    }
    attrs = {
        "model": head.model,
        "head": str(head),
        "input_shape": list(head.input_shape),
        "n_labels": int(head.n_labels),
        "cell_centers": "receptive fields" if head.exact_centers else "image divided evenly",
        **attrs,
        **compat.package_versions(),
    }
    return xr.Dataset(variables, coords, attrs)
