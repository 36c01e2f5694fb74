"""Firing-rate scales from sample images: how fast a neuron fires for the activity that it stands for."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..checks.parameters import check_positive
from ..checks.percentiles import check_percentile
from ..exceptions import ParameterError
from ..models.simplify import ReducedModel, activity_levels, balance_channels, rectified_layers, scale_channels

__all__ = ["ScaledModel", "calibrate_layers", "scale_rates"]


@dataclasses.dataclass(frozen=True, eq=False)
class ScaledModel:
    """A model to convert, and how fast its neurons are to fire.

    Attributes
    ----------
    reduced : ReducedModel
        The model, with its channels scaled.
    scales : dict of {str: float}
        Firing rate per unit of activity of the model [Hz], by layer name.
    channel_factors : dict of {str: ndarray of shape (channels,)}
        What the channels of rectified layers were multiplied by; empty if channels were not scaled.
    feature_factors : ndarray of shape (K,), or None
        The same for the pooled features; None if channels were not scaled.
    largest_difference : float or None
        Sum of the largest differences that scaling the channels made; see `nengo_cam.models.simplify.balance_channels`.
    """

    reduced: ReducedModel
    scales: dict
    channel_factors: dict
    feature_factors: Any
    largest_difference: Any


def scale_rates(
    reduced: ReducedModel,
    by_hand: Any,
    images: np.ndarray | None,
    *,
    target_rate: float,
    percentile: float,
    balance: bool,
) -> ScaledModel:
    """Decide how fast each layer and channel fires: by the user's word, or else by sample images.

    Parameters
    ----------
    reduced : ReducedModel
        What is to be scaled.
    by_hand : float or dict of {str or tf.keras.layers.Layer: float or array_like of shape (channels,)}, or None
        Firing rate per unit of activity [Hz], for all rectified layers, by layer, or by layer and channel.
    images : ndarray of shape (N, Y, X, channels), or None
        Sample images, checked by the caller.
    target_rate, percentile
        As for `calibrate_layers`.
    balance : bool
        Whether channels of the layers that are not in ``by_hand`` are brought to one range by the sample images.

    Returns
    -------
    ScaledModel

    Raises
    ------
    ParameterError
        If an argument is out of its range, or names a layer that is not there.
    VerificationError
        As from `nengo_cam.models.simplify.balance_channels`, if channels are balanced.
    """
    by_layer, by_channel = _given_scales(reduced.model, by_hand)
    factors = {name: scales / by_layer[name] for name, scales in by_channel.items()}
    steps = [scale_channels(reduced, factors)] if factors else []
    if images is not None:
        # One number for all layers gives way to calibration; scales by layer are the user's word.
        said = by_layer if isinstance(by_hand, dict) else {}
        if balance:
            last = steps[-1].reduced if steps else reduced
            steps.append(balance_channels(last, images, percentile=percentile, fixed=tuple(said)))
        last = steps[-1].reduced if steps else reduced
        by_layer = {**calibrate_layers(last.model, images, target_rate=target_rate, percentile=percentile), **said}
    if not steps:
        return ScaledModel(reduced, by_layer, {}, None, None)
    channel_factors = {
        name: np.prod([step.layer_factors[name] for step in steps], axis=0) for name in steps[0].layer_factors
    }
    feature_factors = np.prod([step.feature_factors for step in steps], axis=0)
    difference = sum(step.largest_difference for step in steps)
    return ScaledModel(steps[-1].reduced, by_layer, channel_factors, feature_factors, difference)


def _given_scales(model, scale_firing_rates):
    """Spell out the user's scales by layer name: the largest of each layer, and those that are by channel."""
    names = [layer.name for layer in rectified_layers(model)]
    if scale_firing_rates is None:
        return {}, {}
    given = scale_firing_rates
    if not isinstance(scale_firing_rates, dict):
        given = dict.fromkeys(names, scale_firing_rates)
    given = {getattr(key, "name", key): scale for key, scale in given.items()}
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ParameterError(
            f"scale_firing_rates: {unknown[0]!r} is not a rectified layer of model {model.name!r}; expected one of "
            f"{names}, got {unknown[0]!r}. Name layers that end in a ReLU."
        )
    by_layer, by_channel = {}, {}
    for name, scale in given.items():
        numbers = list(scale) if np.ndim(scale) == 1 else [scale]
        for number in numbers:
            check_positive("scale_firing_rates", number, unit="Hz per unit of activity")
        by_layer[name] = float(max(numbers, default=0))
        if np.ndim(scale) == 1:
            by_channel[name] = np.asarray(numbers, float)
    return by_layer, by_channel


def calibrate_layers(
    model: Any,
    images: np.ndarray,
    *,
    target_rate: float = 200,
    percentile: float = 99.9,
    batch_size: int = 32,
) -> dict[str, float]:
    r"""Find one firing-rate scale per rectified layer, such that its strong activity fires at a given rate.

    The scale of a layer is :math:`r / P_p(a)`, the target rate over the percentile of the layer's activity over
    neurons and images: data-based normalization [1]_ with a robust maximum ([2]_, sec. 2.2.2).

    Parameters
    ----------
    model : tf.keras.Model
        A model made by `nengo_cam.inference_model`.
    images : ndarray of shape (N, Y, X, channels)
        Sample images, checked by the caller.
    target_rate : float
        Rate of a neuron at the percentile [Hz]; positive.
    percentile : float
        Percentile of the activity that fires at ``target_rate``; above 0, at most 100.
    batch_size : int
        Images that go through the model at a time. Does not change the result.

    Returns
    -------
    dict of {str: float}
        Scale [Hz per unit of activity] by layer name. A layer that is silent for all images has scale 1.

    Raises
    ------
    ParameterError
        If ``target_rate`` or ``percentile`` is out of range.

    References
    ----------
    .. [1] Diehl et al. (2015). Fast-classifying, high-accuracy spiking deep networks through weight and threshold
       balancing. IJCNN.
    .. [2] Rueckauer et al. (2017). Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks
       for Image Classification. Frontiers in Neuroscience 11:682.
    """
    check_positive("target_rate", target_rate, unit="Hz")
    check_percentile(percentile)
    # A layer that is called several times has one scale for all its calls.
    levels = activity_levels(model, images, percentile, batch_size)
    return {name: float(target_rate / level) if level > 0 else 1.0 for name, level in levels.items()}
