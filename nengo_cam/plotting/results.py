"""What a Dataset must have before anything is drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..exceptions import ResultError
from ..scoring.positions import pixel_centers, positions, remedy_of_arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_pair", "check_rate", "check_spiking"]

_LEADING = ("image", "time", "label")
# Of maps of one, two and three dimensions.
_POSITIONS = (("x",), ("y", "x"), ("z", "y", "x"))


def check_spiking(spiking: xr.Dataset, variables: Sequence[str] = ("cam", "logits")) -> None:
    """Check the Dataset of a spiking network.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`.
    variables : sequence of str
        Those that are needed.

    Raises
    ------
    ResultError
        If it is not a Dataset, a variable, dim or coordinate is missing, a dim is too many or empty, or the time is
        not in seconds, or does not increase.
    """
    _check_variables("spiking", spiking, variables)
    if "time" not in spiking["cam"].dims:
        raise ResultError(
            f"spiking: no dim 'time'; expected maps over {(*_LEADING, *positions(spiking['cam']))}, got "
            f"{spiking['cam'].dims}. "
            "Pass the result of spiking_cam first and that of rate_cam as rate."
        )
    _check_dims("spiking", spiking, variables, _LEADING)
    places = positions(spiking["cam"])
    for coordinate in ("time", *places):
        if coordinate not in spiking.coords:
            raise ResultError(
                f"spiking: no coordinate {coordinate!r}; expected time in seconds and {', '.join(places)} in pixels "
                f"of the input image, got {sorted(map(str, spiking.coords))}. Assign it."
            )
    _check_time(spiking["time"])


#: What `nengo_cam.rate_cam` says in ``attrs["simulator"]``.
_NOT_SIMULATED = "none"


def check_rate(rate: xr.Dataset, variables: Sequence[str] = ("cam", "logits"), *, moving: bool = False) -> None:
    """Check the Dataset of a rate network.

    Parameters
    ----------
    rate : xarray.Dataset
        Result of `nengo_cam.rate_cam`.
    variables : sequence of str
        Those that are needed.
    moving : bool
        Whether it may be that of moving images, with a map for each step.

    Raises
    ------
    ResultError
        If it is not a Dataset, has time steps that are not asked for, a variable or dim is missing, or a dim is too
        many or empty.
    """
    _check_variables("rate", rate, variables)
    with_time = "time" in rate["cam"].dims
    # A spiking result in its place has time too.
    if with_time and not (moving and str(rate.attrs.get("simulator")).startswith(_NOT_SIMULATED)):
        raise ResultError(
            f"rate: has a dim 'time'; expected maps without time, got {rate['cam'].dims}. "
            "Pass the result of rate_cam for still images, or one step of it with .isel(time=-1, drop=True)."
        )
    _check_dims("rate", rate, variables, tuple(dim for dim in _LEADING if dim != "time" or with_time))


def check_pair(spiking: xr.Dataset, rate: xr.Dataset) -> None:
    """Check that a rate Dataset has the labels and cells of a spiking one.

    Parameters
    ----------
    spiking, rate : xarray.Dataset
        Both checked by themselves already.

    Raises
    ------
    ResultError
        If labels or cells differ, the times of a rate Dataset that has some, or an image of ``spiking`` is not in
        ``rate``.
    """
    if "time" in rate["cam"].dims and not _close(spiking["time"].values, rate["time"].values):
        raise ResultError(
            f"rate: its 'time' differs from that of spiking; expected {_brief(spiking['time'].values)}, got "
            f"{_brief(rate['time'].values)}. Select the same steps of both, e.g. "
            "rate.sel(time=spiking.time, method='nearest')."
        )
    places = positions(spiking["cam"])
    if positions(rate["cam"]) != places:
        raise ResultError(
            f"rate: its maps have other dims than those of spiking; expected {places}, got {positions(rate['cam'])}. "
            "Compute both from the same network."
        )
    for dim in ("label", *places):
        # In pixels, as the user's coordinates may be names.
        ours, theirs = (data[dim].values if dim == "label" else pixel_centers(data, dim) for data in (spiking, rate))
        # Lists, because NumPy warns when names are compared with numbers.
        same = ours.tolist() == theirs.tolist() if dim == "label" else _close(ours, theirs)
        if not same:
            raise ResultError(
                f"rate: its {dim!r} differs from that of spiking; expected {_brief(ours)}, got {_brief(theirs)}. "
                "Compute both from the same network, or select the same part of both."
            )
    missing = sorted(set(spiking["image"].values.tolist()) - set(rate["image"].values.tolist()))
    if missing:
        raise ResultError(
            f"rate: lacks images of spiking; expected the image coordinates {_brief(spiking['image'].values)}, "
            f"got {_brief(rate['image'].values)}. Compute both from the same images."
        )


def _check_variables(name, result, variables):
    if not isinstance(result, xr.Dataset):
        raise ResultError(
            f"{name}: not a result; expected an xarray.Dataset with {list(variables)}, got {type(result).__name__}. "
            + remedy_of_arrays(result, f"Pass what {name}_cam returned.")
        )
    missing = [variable for variable in variables if variable not in result]
    if missing:
        raise ResultError(
            f"{name}: lacks the variables {missing}; expected {list(variables)}, got {sorted(map(str, result))}. "
            f"Pass what {name}_cam returned."
        )


def _check_time(time):
    units = str(time.attrs.get("units") or "s")
    if time.dtype.kind not in "iuf" or units not in ("s", "second", "seconds"):
        got = units if time.dtype.kind in "iuf" else f"dtype {time.dtype}"
        raise ResultError(
            f"spiking: its time is in other units; expected numbers in seconds, got {got}. Assign them, e.g. "
            "spiking.assign_coords(time=spiking['time'].values / 1000) for milliseconds."
        )
    steps = time.values.astype(float)
    if not np.all(np.isfinite(steps)) or np.any(np.diff(steps) <= 0):
        raise ResultError(
            f"spiking: its time does not increase; expected finite numbers, each larger than the last, got "
            f"{_brief(time.values)}. Sort it, e.g. spiking.sortby('time')."
        )


def _check_dims(name, result, variables, leading):
    for variable in variables:
        found = result[variable].dims
        # Logits have no places.
        allowed = [(*leading, *places) for places in _POSITIONS] if variable == "cam" else [leading]
        if not any(set(found) == set(dims) for dims in allowed):
            raise ResultError(
                f"{name}: {variable!r} has the wrong dims; expected {' or '.join(map(str, allowed))}, got {found}. "
                "Keep a dim when you select from it, e.g. .isel(image=[0])."
            )
        if 0 in result[variable].shape:
            raise ResultError(
                f"{name}: {variable!r} is empty; expected at least one entry per dim, got sizes "
                f"{dict(result[variable].sizes)}. Select fewer entries away."
            )


def _close(ours, theirs):
    return ours.shape == theirs.shape and np.allclose(ours, theirs)


def _brief(values, longest=12):
    values = values.tolist()
    return repr(values) if len(values) <= longest else f"{len(values)} values {values[:3]!r}...{values[-1:]!r}"
