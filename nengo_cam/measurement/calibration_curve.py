"""How firing rates trade accuracy and true maps for time and spikes: a sweep over converted networks."""

import dataclasses
import json
import warnings
from typing import Any

import nengo
import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from ..checks.images import check_images
from ..checks.parameters import check_count, check_positive, check_seed
from ..checks.percentiles import check_percentile
from ..conversion.convert import convert
from ..exceptions import (
    ImageError,
    InputRangeWarning,
    LabelError,
    ParameterError,
    RectifiedInputWarning,
    SilentFeaturesWarning,
    SimulatorError,
    UnsupportedModelError,
)
from ..models.keras3 import as_keras2
from ..models.source import find_head
from ..neurons import IntegrateAndFire
from ..scoring.agreement import check_burn_in, correlation, cumulative
from ..simulator import Simulator
from .cam import rate_cam, spiking_cam

__all__ = ["calibration_curve"]

_DEFAULT_NEURONS = IntegrateAndFire()

#: Quantiles over images that are kept of the correlations: the worst twentieth, the quartiles and the median.
QUANTILES = (0.05, 0.25, 0.5, 0.75)


def calibration_curve(
    model,
    images,
    *,
    calibrate_on,
    target_rates=(50, 100, 200, 500, 1000),
    n_steps=100,
    neurons=_DEFAULT_NEURONS,
    classes=None,
    burn_in=0,
    synapse=None,
    percentile=99.9,
    balance=True,
    simulator=Simulator,
    minibatch_size=16,
    dt=0.001,
    seed=None,
    progress_bar=True,
    **converter_options,
):
    r"""Convert a model at several firing rates, and measure over time what each is worth and what it costs.

    The readout at a time is the mean of logits and maps over the steps up to it, `burn_in` left out. Images run a
    minibatch at a time and are reduced to scores at once, so memory does not grow with their number beyond one map
    and a few numbers per step for each.

    Parameters
    ----------
    model : tf.keras.Model
        Model that `nengo_cam.find_head` accepts. It is not changed.
    images : array_like of shape (N, Y, X, channels)
        Images to measure on, none of them among ``calibrate_on``.
    calibrate_on : array_like of shape (M, Y, X, channels)
        Images that the firing rates are calibrated on.
    target_rates : sequence of float
        Firing rates of strong activity [Hz], each once; see `nengo_cam.convert`.
    n_steps : int
        Number of time steps.
    neurons : nengo.neurons.NeuronType, sequence of them, or dict of {str: nengo.neurons.NeuronType}
        Spiking neuron types to compare. In a sequence, the class names them; in a dict, its keys do.
    classes : array_like of int of shape (N,), optional
        True classes, by index. Without them there is no accuracy.
    burn_in : int
        Number of first steps that the readout leaves out: they carry the transient of a network that starts empty.
        Their spikes count.
    synapse, percentile, balance
        As for `nengo_cam.convert`.
    simulator : type
        Simulator class, as for `nengo_cam.spiking_cam`.
    minibatch_size : int
        Images that run, and are kept with the maps of all labels and steps, at a time. Does not change the result.
    dt : float
        Time step [s].
    seed : int, optional
        Seed of initial voltages, the same for all networks. Default: a random one. It is recorded in the result.
    progress_bar : bool
        Whether to show the progress.
    **converter_options
        Further options of `nengo_cam.convert`.

    Returns
    -------
    xarray.Dataset
        Over ``neurons``, ``target_rate`` [Hz] and ``time`` [s], of the readout at that time:

        ``accuracy``
            Fraction of images whose largest logit is that of the true class; only with ``classes``.
        ``agreement``
            Fraction of images with the answer of the rate network.
        ``cam_correlation``
            Correlation over positions of the map with that of the rate network, both of the label that the rate
            network answers: its quantiles over images, along ``quantile``. A blank spiking map has correlation 0;
            images whose rate map is constant are left out.
        ``spikes_per_image``
            Spikes of all neurons from the first step on, mean over images.

        And ``rate_accuracy``, that of the rate network, with ``classes``. The first three are NaN during burn-in.
        ``attrs`` say how it was made.

    Raises
    ------
    ModelTypeError, HeadError
        If ``model`` is not a Keras model with a GAP head.
    UnsupportedModelError
        If NengoDL cannot convert a layer, or no layer spikes.
    ImageError
        If images or calibration images do not fit the model, or the images move.
    LabelError
        If ``classes`` is not one class index per image.
    ParameterError
        If another argument is out of its range, or a neuron type does not spike.
    SimulatorError
        If ``simulator`` is not a class of a simulator, or cannot run the network.
    VerificationError
        If balancing channels changes the logits by more than rounding.

    Warns
    -----
    InputRangeWarning, NonSpikingWarning
        As `nengo_cam.spiking_cam` and `nengo_cam.convert` do. Of silent features and of neurons that rectify their
        input, the curve itself tells.

    Examples
    --------
    >>> curve = ncam.calibration_curve(
    ...     model, images, calibrate_on=train[:50], target_rates=[100, 500], n_steps=20, classes=classes,
    ...     neurons=[ncam.IntegrateAndFire()], progress_bar=False,
    ... )
    >>> curve.accuracy.sel(target_rate=500).sizes["time"]
    20
    """
    model = as_keras2(model)
    head = find_head(model)
    types = _name_neurons(neurons)
    rates = _check_rates(target_rates)
    if "target_rate" in converter_options:
        raise ParameterError(
            "target_rate: expected target_rates, one rate for each conversion, got target_rate. Pass a list of rates."
        )
    check_count("n_steps", n_steps)
    check_burn_in(burn_in, n_steps)
    check_percentile(percentile)
    check_count("minibatch_size", minibatch_size)
    check_positive("dt", dt, unit="seconds")
    check_seed(seed)
    if not isinstance(simulator, type):
        raise SimulatorError(
            "simulator: each firing rate is a network of its own; expected a simulator class, got an open simulator "
            f"or something else: {simulator!r}. Pass the class."
        )
    images = check_images(images, head.input_shape)
    if images.ndim != len(head.input_shape) + 1:
        raise ImageError(
            f"images: expected still images, (N, {', '.join(map(str, head.input_shape))}), got shape {images.shape}. "
            "Take single frames."
        )
    calibrate_on = check_images(calibrate_on, head.input_shape, name="calibrate_on")
    classes = _check_classes(classes, len(images), head.n_labels)
    if seed is None:
        seed = int(np.random.default_rng().integers(np.iinfo(np.int32).max))

    conversion = {"synapse": synapse, "percentile": percentile, "balance": balance, **converter_options}
    run = {"n_steps": n_steps, "simulator": simulator, "minibatch_size": minibatch_size, "dt": dt, "seed": seed}
    reference, measured = None, []
    bar = tqdm(total=len(types) * len(rates) * len(images), unit="image", disable=not progress_bar)
    with bar as progress, warnings.catch_warnings():
        # Silence and rectified noise are results here, of which the curve tells.
        for category in (SilentFeaturesWarning, RectifiedInputWarning):
            warnings.simplefilter("ignore", category)
        for name, neuron_type in types.items():
            for rate in rates:
                progress.set_postfix_str(f"{name}, {rate:g} Hz")
                net = convert(model, neurons=neuron_type, calibrate_on=calibrate_on, target_rate=rate, **conversion)
                if not net.spiking:
                    raise UnsupportedModelError(
                        f"model {model.name!r}: none of its layers spikes; expected a ReLU layer, got none. Build it "
                        "with ReLU, or pass swap_activations."
                    )
                if reference is None:
                    net.warn_of_range(images)
                    warnings.simplefilter("ignore", InputRangeWarning)
                    reference = _Reference.of(net, images, minibatch_size)
                scores, attrs = _measure(net, images, reference, burn_in, run, progress)
                measured.append(_summarize(scores, reference, classes))
    attrs = {
        **{name: value for name, value in attrs.items() if name != "firing_rate_scales"},
        "neurons": json.dumps({name: str(neuron_type) for name, neuron_type in types.items()}),
        "percentile": float(percentile),
        "burn_in": int(burn_in),
        "n_images": len(images),
        "n_calibration_images": len(calibrate_on),
    }
    return _dataset(measured, list(types), rates, np.arange(1, n_steps + 1) * dt, reference, classes, attrs)


@dataclasses.dataclass(frozen=True, eq=False)
class _Reference:
    """What the rate network answers.

    Attributes
    ----------
    labels : ndarray of int of shape (N,)
        Its answers.
    maps : xarray.DataArray with dims (image, ...)
        The map of the answer of each image [logit].
    """

    labels: np.ndarray
    maps: Any

    @classmethod
    def of(cls, net, images, minibatch_size):
        """Run the rate network, a minibatch at a time: the maps of all labels do not stay."""
        labels, maps = [], []
        for start in range(0, len(images), minibatch_size):
            rate = rate_cam(net, images[start : start + minibatch_size], minibatch_size=minibatch_size)
            labels.append(rate.logits.values.argmax(1))
            maps.append(_pick(rate.cam, labels[-1]))
        return cls(np.concatenate(labels), xr.DataArray(np.concatenate([m.values for m in maps]), dims=maps[0].dims))


@dataclasses.dataclass(frozen=True, eq=False)
class _Scores:
    """What remains of the run of each image.

    Attributes
    ----------
    labels : ndarray of int of shape (N, T - burn_in)
        Answers.
    correlations : ndarray of shape (N, T - burn_in)
        Correlation of maps with the rate network's; NaN where one of them is constant.
    spikes : ndarray of int of shape (N, T)
        Spikes up to each step.
    """

    labels: np.ndarray
    correlations: np.ndarray
    spikes: np.ndarray


def _pick(maps, labels):
    """Keep the map of one label for each image, without coordinates."""
    picked = maps.isel(label=xr.DataArray(labels, dims="image")).transpose("image", ...)
    return picked.drop_vars(list(picked.coords))


def _measure(net, images, reference, burn_in, run, progress):
    """Run a network on all images, and return `_Scores` and the provenance."""
    batches = []
    for start in range(0, len(images), run["minibatch_size"]):
        part = slice(start, start + run["minibatch_size"])
        # Agreement with the CNN is what is measured here: no news that it is low where rates are.
        spiking = spiking_cam(net, images[part], count_spikes=True, check_answers=False, progress_bar=False, **run)
        maps = _pick(spiking.cam, reference.labels[part])
        kept = xr.Dataset({"cam": maps, "logits": (("image", "time", "label"), spiking.logits.values)})
        readout = cumulative(kept, burn_in=burn_in).isel(time=slice(burn_in, None))
        correlations = correlation(readout.cam, reference.maps[part]).transpose("image", "time")
        spikes = spiking.spike_count.sum("layer").cumsum("time")
        batches.append((readout.logits.values.argmax(2), correlations.values, spikes.values))
        progress.update(len(maps))
    return _Scores(*map(np.concatenate, zip(*batches))), spiking.attrs


def _summarize(scores, reference, classes):
    """Reduce scores over images to arrays of shape (T, ...), by the name of the variable."""
    n_out = scores.spikes.shape[1] - scores.labels.shape[1]

    def after_burn_in(values):
        return np.concatenate([np.full((n_out, *values.shape[1:]), np.nan), values])

    varied = np.ptp(reference.maps.values.reshape(len(reference.labels), -1), axis=1) > 0
    # A blank map says nothing of where the network looks: as good as an uncorrelated one.
    correlations = np.nan_to_num(scores.correlations[varied])
    quantiles = np.full((len(QUANTILES), scores.labels.shape[1]), np.nan)
    if len(correlations):
        quantiles = np.quantile(correlations, QUANTILES, axis=0)
    result = {
        "agreement": after_burn_in((scores.labels == reference.labels[:, None]).mean(0)),
        "cam_correlation": after_burn_in(quantiles.T),
        "spikes_per_image": scores.spikes.mean(0),
    }
    if classes is not None:
        result["accuracy"] = after_burn_in((scores.labels == classes[:, None]).mean(0))
    return result


_LONG_NAMES = {
    "accuracy": "fraction of images answered right",
    "agreement": "fraction of images answered as by the rate network",
    "cam_correlation": "correlation of the map with the rate network's",
    "spikes_per_image": "spikes per image up to this time",
}


def _dataset(measured, names, rates, times, reference, classes, attrs):
    """Put the arrays of all networks under names and units."""
    variables = {}
    for name, long_name in _LONG_NAMES.items():
        if name in measured[0]:
            values = np.stack([arrays[name] for arrays in measured])
            dims = ("neurons", "target_rate", "time", "quantile")[: values.ndim + 1]
            units = "spikes" if name == "spikes_per_image" else "1"
            values = values.reshape((len(names), len(rates), *values.shape[1:]))
            variables[name] = (dims, values, {"units": units, "long_name": long_name})
    if classes is not None:
        accuracy = float((reference.labels == classes).mean())
        variables["rate_accuracy"] = ((), accuracy, {"units": "1", "long_name": "accuracy of the rate network"})
    coords = {
        "neurons": names,
        "target_rate": ("target_rate", rates, {"units": "Hz", "long_name": "firing rate of strong activity"}),
        "time": ("time", times, {"units": "s", "long_name": "time"}),
        "quantile": ("quantile", list(QUANTILES), {"units": "1", "long_name": "quantile over images"}),
    }
    return xr.Dataset(variables, coords, attrs)


def _name_neurons(neurons):
    """Give each neuron type a name of its own."""
    named = neurons if isinstance(neurons, dict) else None
    types = list(named.values() if named else neurons) if isinstance(neurons, (dict, list, tuple)) else [neurons]
    if not types:
        raise ParameterError("neurons: expected at least one neuron type, got none. Leave it out for IntegrateAndFire.")
    for neuron_type in types:
        if isinstance(neuron_type, type):
            raise ParameterError(
                f"neurons: expected instances of neuron types, got the class {neuron_type.__name__}. Call it."
            )
        if neuron_type is not None and not isinstance(neuron_type, nengo.neurons.NeuronType):
            raise ParameterError(
                f"neurons: expected Nengo neuron types, got {neuron_type!r}. Try nengo_cam.IntegrateAndFire()."
            )
        if neuron_type is None or not neuron_type.spiking:
            raise ParameterError(
                "neurons: the rate network is what all are compared with; expected spiking neuron types, got "
                f"{neuron_type!r}, which does not spike. Leave it out."
            )
    named = named or {type(neuron_type).__name__: neuron_type for neuron_type in types}
    if len(named) < len(types):
        raise ParameterError(
            f"neurons: some have the same class; expected different ones, got {types!r}. Name them in a dict."
        )
    if not all(isinstance(name, str) for name in named):
        raise ParameterError(f"neurons: expected names that are strings, got {list(named)!r}. Name them by strings.")
    return dict(named)


def _check_rates(target_rates):
    rates = list(target_rates) if np.iterable(target_rates) else [target_rates]
    for rate in rates:
        check_positive("target_rates", rate, unit="Hz")
    rates = [float(rate) for rate in rates]
    if not rates or len(set(rates)) < len(rates):
        raise ParameterError(f"target_rates: expected at least one rate, each once, got {rates}. Try [100, 200, 500].")
    return rates


def _check_classes(classes, n_images, n_labels):
    if classes is None:
        return None
    array = np.asarray(classes)
    if array.shape != (n_images,) or array.dtype.kind not in "iu":
        raise LabelError(
            f"classes: expected one whole number for each of {n_images} images, got {array.dtype} of shape "
            f"{array.shape}. Pass class indices, not one-hot vectors."
        )
    wrong = array[(array < 0) | (array >= n_labels)]
    if len(wrong):
        raise LabelError(
            f"classes: {wrong[0]} does not exist; expected indices from 0 to {n_labels - 1}, got {wrong[0]}. Count "
            "them in the order of the readout.",
            label=int(wrong[0]),
        )
    return array
