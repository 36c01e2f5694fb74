"""How firing rates trade accuracy and true maps for time and spikes: a sweep over converted networks."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from tqdm.auto import tqdm

from ..checks.callers import user_stacklevel
from ..checks.images import check_images
from ..checks.parameters import RUN_MINIBATCH, check_count, check_positive, check_seed
from ..checks.percentiles import check_percentile
from ..conversion.choosing import AUTO
from ..conversion.convert import convert
from ..conversion.network import CAMNetwork
from ..exceptions import (
    DepthWarning,
    ImageError,
    InputRangeWarning,
    ParameterError,
    RectifiedInputWarning,
    SilentFeaturesWarning,
    SimulatorError,
    UnsupportedModelError,
)
from ..models.head import CAMHead
from ..models.source import SourceModel, read_model
from ..scoring.agreement import check_burn_in, correlation, cumulative
from ..simulator import Simulator
from .arguments import check_classes, check_rates, name_neurons
from .cam import rate_cam, spiking_cam
from .provenance import time_axis

__all__ = ["calibration_curve"]

#: Quantiles over images that are kept of the correlations: the worst twentieth, the quartiles and the median.
QUANTILES = (0.05, 0.25, 0.5, 0.75)


def calibration_curve(
    model: Any,
    images: ArrayLike,
    *,
    calibrate_on: ArrayLike,
    target_rates: float | Sequence[float] = (50, 100, 200, 500, 1000),
    n_steps: int = 100,
    neurons: nengo.neurons.NeuronType
    | Sequence[nengo.neurons.NeuronType]
    | Mapping[str, nengo.neurons.NeuronType]
    | str = AUTO,
    classes: ArrayLike | None = None,
    burn_in: int = 0,
    synapse: nengo.synapses.Synapse | float | None = None,
    percentile: float = 99.9,
    balance: bool = True,
    simulator: type = Simulator,
    minibatch_size: int = RUN_MINIBATCH,
    dt: float = 0.001,
    seed: int | None = None,
    progress_bar: bool = True,
    **converter_options: Any,
) -> xr.Dataset:
    r"""Convert a model at several firing rates, and measure over time what each is worth and what it costs.

    The readout at a time is the mean of logits and maps over the steps up to it, `burn_in` left out; where levels are
    held (`nengo_cam.SigmaDelta`) it is the step itself. Images run a minibatch at a time and are reduced to scores at
    once, so memory does not grow with their number beyond one map and a few numbers per step for each.

    Parameters
    ----------
    model : tf.keras.Model
        Model that `nengo_cam.find_head` accepts. It is not changed.
    images : array_like of shape (N, Y, X, channels)
        Images to measure on, none of them among ``calibrate_on``.
    calibrate_on : array_like of shape (M, Y, X, channels)
        Images that the firing rates are calibrated on.
    target_rates : sequence of float
        Firing rates of strong activity [Hz], each once; see `nengo_cam.convert`. Where levels are held, strong activity
        is this divided by the neurons' quantum, a number of levels.
    n_steps : int
        Number of time steps.
    neurons : nengo.neurons.NeuronType, sequence of them, dict of {str: nengo.neurons.NeuronType}, or "auto"
        Spiking neuron types to compare. In a sequence, the class names them; in a dict, its keys do. ``"auto"`` is the
        type that `nengo_cam.convert` chooses at the first of the rates.
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
            Spikes of all neurons from the first step on, mean over images; one that has a size is one spike.

        ``readout`` ("mean" or "level") and ``spike_kind`` along ``neurons`` say how each is read, and what it sends, as
        the attributes of `nengo_cam.spiking_cam`. If a type holds levels, ``quantum`` [Hz] is there too.

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
    ResultSizeError
        If the maps of a minibatch would be larger than the memory that is free.
    VerificationError
        If balancing channels changes the logits by more than rounding.

    Warns
    -----
    InputRangeWarning, NonSpikingWarning
        As `nengo_cam.spiking_cam` and `nengo_cam.convert` do. Of silent features, of neurons that rectify their input
        and of networks too deep for spikes of one size, the curve itself tells.

    Examples
    --------
    >>> curve = ncam.calibration_curve(
    ...     model, images, calibrate_on=train[:50], target_rates=[100, 500], n_steps=20, classes=classes,
    ...     neurons=[ncam.IntegrateAndFire()], progress_bar=False,
    ... )
    >>> curve.accuracy.sel(target_rate=500).sizes["time"]
    20
    """
    # Read once for all conversions.
    source = read_model(model)
    head = source.head
    chosen = isinstance(neurons, str) and neurons == AUTO
    types = {} if chosen else name_neurons(neurons)
    rates = check_rates(target_rates)
    _check_conversion(percentile, converter_options)
    _check_run(n_steps, burn_in, simulator, minibatch_size, dt, seed)
    images, calibrate_on = _check_images(images, calibrate_on, head)
    classes = check_classes(classes, len(images), head.n_labels)
    if seed is None:
        # Drawn once, as all networks are compared from the same start.
        seed = int(np.random.default_rng().integers(np.iinfo(np.int32).max))
    conversion = {
        "calibrate_on": calibrate_on, "synapse": synapse, "percentile": percentile, "balance": balance,
        **converter_options,
    }  # fmt: skip
    if chosen:
        types = name_neurons(_convert(source, AUTO, rates[0], conversion).neurons)
    run = {"n_steps": n_steps, "simulator": simulator, "minibatch_size": minibatch_size, "dt": dt, "seed": seed}
    reference: Any = None
    measured: list[Any] = []
    how: dict[str, Any] = {}
    codes: dict[str, tuple[str, str]] = {}
    total = len(types) * len(rates) * len(images)
    with _without_what_the_curve_tells(), tqdm(total=total, unit="image", disable=not progress_bar) as progress:
        for (name, neuron_type), rate in itertools.product(types.items(), rates):
            progress.set_postfix_str(f"{name}, {rate:g} Hz")
            net = _convert(source, neuron_type, rate, conversion)
            if reference is None:
                _warn_of_range_once(net, images)
                # The CNN is the same for all networks, so that any of them has it.
                reference = _Reference.of(net, images, minibatch_size)
            scores, how = _measure(net, images, reference, burn_in, run, progress)
            codes[name] = how["readout"], how["spike_kind"]
            measured.append(_summarize(scores, reference, classes))
    attrs = {
        # What differs from network to network is no attribute of all.
        **{key: how[key] for key in how if key not in ("firing_rate_scales", "readout", "spike_kind")},
        "neurons": json.dumps({name: str(neuron_type) for name, neuron_type in types.items()}),
        "percentile": float(percentile),
        "burn_in": int(burn_in),
        "n_images": len(images),
        "n_calibration_images": len(calibrate_on),
    }
    curve = _dataset(measured, list(types), rates, time_axis(n_steps, dt), reference, classes, attrs)
    return _say_codes(curve, types, codes)


def _check_conversion(percentile: Any, converter_options: dict[str, Any]) -> None:
    """Check how networks are to be converted, as far as `convert` would find out too late."""
    if "target_rate" in converter_options:
        raise ParameterError(
            "target_rate: expected target_rates, one rate for each conversion, got target_rate. Pass a list of rates."
        )
    check_percentile(percentile)


def _check_run(n_steps: Any, burn_in: Any, simulator: Any, minibatch_size: Any, dt: Any, seed: Any) -> None:
    """Check how networks are to be run."""
    check_count("n_steps", n_steps)
    check_burn_in(burn_in, n_steps)
    check_count("minibatch_size", minibatch_size)
    check_positive("dt", dt, unit="seconds")
    check_seed(seed)
    if not isinstance(simulator, type):
        raise SimulatorError(
            "simulator: each firing rate is a network of its own; expected a simulator class, got an open simulator "
            f"or something else: {simulator!r}. Pass the class."
        )


def _check_images(
    images: ArrayLike, calibrate_on: ArrayLike, head: CAMHead
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Check images to measure on, which have to stand still, and images to calibrate on."""
    images = check_images(images, head.input_shape)
    # A readout over time is compared with one answer for each image.
    if images.ndim != len(head.input_shape) + 1:
        raise ImageError(
            f"images: expected still images, (N, {', '.join(map(str, head.input_shape))}), got shape {images.shape}. "
            "Take single frames."
        )
    return images, check_images(calibrate_on, head.input_shape, name="calibrate_on")


@contextlib.contextmanager
def _without_what_the_curve_tells() -> Iterator[None]:
    """Silence and rectified noise are results here, and no news."""
    with warnings.catch_warnings():
        for category in (DepthWarning, SilentFeaturesWarning, RectifiedInputWarning):
            warnings.simplefilter("ignore", category)
        yield


def _warn_of_range_once(net: CAMNetwork, images: NDArray[np.float32]) -> None:
    """Warn of images out of range for the first network, which stands for all; inside the context above."""
    # This function is a call more.
    net.warn_of_range(images, stacklevel=user_stacklevel() + 1)
    warnings.simplefilter("ignore", InputRangeWarning)


def _convert(
    source: SourceModel, neuron_type: nengo.neurons.NeuronType | str, rate: float, conversion: dict[str, Any]
) -> CAMNetwork:
    """Convert the model at a rate; refuse what does not spike."""
    net = convert(source, neurons=neuron_type, target_rate=rate, **conversion)
    if not net.spiking:
        raise UnsupportedModelError(
            f"model {source.model.name!r}: none of its layers spikes; expected a ReLU layer, got none. Build it with "
            "ReLU, or pass swap_activations."
        )
    return net


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

    labels: NDArray[np.int64]
    maps: xr.DataArray

    @classmethod
    def of(cls, net: CAMNetwork, images: NDArray[np.float32], minibatch_size: int) -> _Reference:
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

    labels: NDArray[np.int64]
    correlations: NDArray[np.floating]
    spikes: NDArray[np.int64]


def _pick(maps: xr.DataArray, labels: NDArray[np.int64]) -> xr.DataArray:
    """Keep the map of one label for each image, without coordinates."""
    picked = maps.isel(label=xr.DataArray(labels, dims="image")).transpose("image", ...)
    return picked.drop_vars(list(picked.coords))


def _measure(
    net: CAMNetwork,
    images: NDArray[np.float32],
    reference: _Reference,
    burn_in: int,
    run: dict[str, Any],
    progress: Any,
) -> tuple[_Scores, dict[str, Any]]:
    """Run a network on all images, and return `_Scores` and the provenance."""
    batches = []
    for start in range(0, len(images), run["minibatch_size"]):
        part = slice(start, start + run["minibatch_size"])
        # Agreement with the CNN is what is measured here: no news that it is low where rates are.
        spiking = spiking_cam(net, images[part], count_spikes=True, check_answers=False, progress_bar=False, **run)
        maps = _pick(spiking.cam, reference.labels[part])
        kept = xr.Dataset({"cam": maps, "logits": (("image", "time", "label"), spiking.logits.values)})
        readout = kept.astype(float) if spiking.attrs["readout"] == "level" else cumulative(kept, burn_in=burn_in)
        readout = readout.isel(time=slice(burn_in, None))
        correlations = correlation(readout.cam, reference.maps[part]).transpose("image", "time")
        spikes = spiking.spike_count.sum("layer").cumsum("time")
        batches.append((readout.logits.values.argmax(2), correlations.values, spikes.values))
        progress.update(len(maps))
    return _Scores(*map(np.concatenate, zip(*batches))), spiking.attrs


def _summarize(
    scores: _Scores, reference: _Reference, classes: NDArray[np.int64] | None
) -> dict[str, NDArray[np.floating]]:
    """Reduce scores over images to arrays of shape (T, ...), by the name of the variable."""
    n_out = scores.spikes.shape[1] - scores.labels.shape[1]

    def after_burn_in(values: NDArray[np.floating]) -> NDArray[np.floating]:
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


def _dataset(
    measured: list[dict[str, NDArray[np.floating]]],
    names: list[str],
    rates: list[float],
    time: tuple[Any, ...],
    reference: _Reference,
    classes: NDArray[np.int64] | None,
    attrs: dict[str, Any],
) -> xr.Dataset:
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
        "time": time,
        "quantile": ("quantile", list(QUANTILES), {"units": "1", "long_name": "quantile over images"}),
    }
    return xr.Dataset(variables, coords, attrs)


def _say_codes(
    curve: xr.Dataset, types: dict[str, nengo.neurons.NeuronType], codes: dict[str, tuple[str, str]]
) -> xr.Dataset:
    """Say of each neuron type how it is read, what it sends, and what a level of it is."""
    readouts, kinds = zip(*(codes[name] for name in types))
    curve = curve.assign_coords(
        readout=("neurons", list(readouts), {"long_name": "how maps and logits are read"}),
        spike_kind=("neurons", list(kinds), {"long_name": "what is sent"}),
    )
    quanta = [getattr(neuron_type, "quantum", np.nan) for neuron_type in types.values()]
    if np.isnan(quanta).all():
        return curve
    rate = curve.target_rate.assign_attrs(
        long_name="firing rate of strong activity; where levels are held, levels = target_rate / quantum"
    )
    attrs = {"units": "Hz", "long_name": "quantum that levels are counted in"}
    return curve.assign_coords(target_rate=rate, quantum=("neurons", quanta, attrs))
