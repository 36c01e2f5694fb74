"""The identity that ties maps to logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...exceptions import ResultError
from ..positions import positions

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["completeness_error"]


def completeness_error(maps: xr.Dataset) -> float:
    """Measure how far *mean of the map over positions + bias* is from the logit.

    The two are equal but for rounding, at every step, if map and logit were measured at the same moment. Steps that
    are NaN, those of a burn-in, are left out.

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

    Examples
    --------
    >>> ncam.completeness_error(spiking) < 1e-5
    True
    >>> ncam.completeness_error(spiking.assign(cam=1.1 * spiking.cam)) > 0.01
    True
    """
    missing = [name for name in ("cam", "logits", "bias") if name not in getattr(maps, "data_vars", ())]
    if missing:
        raise ResultError(
            f"maps: expected a Dataset with cam, logits and bias, got no {missing}. Pass what spiking_cam gives."
        )
    largest = float(abs(maps.logits).max())
    difference = float(abs(maps.cam.mean(positions(maps.cam), dtype=float) + maps.bias - maps.logits).max())
    return difference / largest if largest > 0 else difference
