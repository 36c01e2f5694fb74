"""Spiking against rate maps: functions on the Datasets that `nengo_cam.spiking_cam` and `rate_cam` give."""

import numpy as np
import xarray as xr

from .exceptions import ResultError

__all__ = ["completeness_error", "correlation", "cumulative"]


def cumulative(spiking):
    r"""Average maps and logits over time, from the first step up to each.

    At step :math:`t` the result holds :math:`\frac{1}{t} \sum_{s=1}^{t} x_s`. Averaging is linear, and so is a map in
    its features, so the mean map is the map of the mean activity, and mean over positions + bias = logit still holds.

    Parameters
    ----------
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`, with a time dimension.

    Returns
    -------
    xarray.Dataset
        The same variables and dims; ``attrs["time_reduction"]`` says what was done.

    Raises
    ------
    ResultError
        If there is no time dimension, or the maps are averaged already.
    """
    if not isinstance(spiking, xr.Dataset) or "time" not in spiking.dims:
        raise ResultError(
            f"spiking: expected a Dataset with a time dimension, got {_describe(spiking)}. Pass the result of "
            "spiking_cam."
        )
    if spiking.attrs.get("time_reduction"):
        raise ResultError(
            f"spiking: it is averaged over time already; expected what spiking_cam gives, got a "
            f"{spiking.attrs['time_reduction']}. Average once."
        )
    n_so_far = xr.DataArray(np.arange(1, spiking.sizes["time"] + 1), dims="time")

    def average(variable):
        if "time" not in variable.dims:
            return variable
        return (variable.cumsum("time", dtype=float) / n_so_far).transpose(*variable.dims).astype(variable.dtype)

    result = spiking.map(average, keep_attrs=True)
    for name, variable in spiking.data_vars.items():
        result[name].attrs = variable.attrs
    return result.assign_coords(spiking.coords).assign_attrs(spiking.attrs, time_reduction="running mean")


def completeness_error(maps):
    """Measure how far *mean of the map over positions + bias* is from the logit.

    The two are equal but for rounding, at every step, if map and logit were measured at the same moment.

    Parameters
    ----------
    maps : xarray.Dataset
        Made by `nengo_cam.spiking_cam` or `nengo_cam.rate_cam`.

    Returns
    -------
    float
        The largest difference, as a fraction of the largest logit; 0 if all is zero.

    Raises
    ------
    ResultError
        If ``cam``, ``logits`` or ``bias`` is missing.
    """
    missing = [name for name in ("cam", "logits", "bias") if name not in getattr(maps, "data_vars", ())]
    if missing:
        raise ResultError(
            f"maps: expected a Dataset with cam, logits and bias, got no {missing}. Pass what spiking_cam gives."
        )
    largest = float(abs(maps.logits).max())
    difference = float(abs(maps.cam.mean(_positions(maps.cam), dtype=float) + maps.bias - maps.logits).max())
    return difference / largest if largest > 0 else difference


def correlation(maps, others):
    """Correlate maps with maps over their positions (Pearson).

    Parameters
    ----------
    maps, others : xarray.DataArray with dims (..., y, x), (..., x) or (..., z, y, x)
        Maps; the other dims are broadcast against each other.

    Returns
    -------
    xarray.DataArray with the other dims
        Correlation from -1 to 1; NaN where one of the maps is constant.

    Raises
    ------
    ResultError
        If an array has no positions.
    """
    for name, array in (("maps", maps), ("others", others)):
        if not isinstance(array, xr.DataArray) or "x" not in array.dims:
            raise ResultError(
                f"{name}: expected a DataArray with dims (..., 'y', 'x'), got {_describe(array)}. Pass dataset.cam."
            )
    return xr.corr(maps.astype(float), others.astype(float), dim=_positions(maps))


def _positions(maps):
    """Name the dims of a map: y and x, x alone in one dimension, z, y and x in three."""
    return [dim for dim in ("z", "y", "x") if dim in maps.dims]


def _describe(value):
    return f"dims {tuple(value.dims)}" if hasattr(value, "dims") else type(value).__name__
