"""How the steps of a result are read: averaged over time, or each as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import ResultError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "LEVEL_AT_STEP",
    "every_label",
    "holds_level",
    "moving_part",
    "moving_steps",
    "reduction_of",
    "spike_kind_of",
]

# Steps that are shown after the last change, so that it is seen that nothing moves any more.
_STILL_STEPS = 4

#: What `nengo_cam.cumulative` makes of levels, in ``attrs["time_reduction"]``: nothing else.
LEVEL_AT_STEP = "level at each step"
# How it begins where nothing was averaged: of `cumulative`, with or without a burn-in, and of chosen steps.
_UNREDUCED = (LEVEL_AT_STEP, "none")


def holds_level(result: xr.Dataset | xr.DataArray) -> bool:
    """Tell whether a step is an estimate by itself, because receivers hold the level of each neuron.

    Parameters
    ----------
    result : xarray.Dataset or xarray.DataArray
        Made by `nengo_cam.spiking_cam`, or from it. Its ``attrs["readout"]`` is "level", or "mean" where unit spikes
        are averaged over time; older files do not say it, and are read as "mean".

    Returns
    -------
    bool
        True for "level".

    Raises
    ------
    ResultError
        If the readout is something else.

    Examples
    --------
    >>> from nengo_cam.scoring.readout import holds_level
    >>> holds_level(spiking), holds_level(spiking.assign_attrs(readout="level"))
    (False, True)
    """
    readout = str(result.attrs.get("readout") or "mean")
    if readout not in ("mean", "level"):
        raise ResultError(
            f"readout: it is not known how to read the steps of this result; expected 'mean' or 'level' in its attrs, "
            f"got {readout!r}. Assign what its network has, e.g. .assign_attrs(readout='mean')."
        )
    return readout == "level"


def every_label(result: xr.Dataset, variable: str = "logits") -> xr.DataArray:
    """Return logits or biases of all labels that are known, also of those without a map.

    Parameters
    ----------
    result : xarray.Dataset
        Made by `nengo_cam.spiking_cam` or `nengo_cam.rate_cam`, or from it.
    variable : {"logits", "cnn_logits", "bias"}
        Which variable; it has to be there.

    Returns
    -------
    xarray.DataArray
        With the dim ``label``: ``all_logits`` and its like if labels were chosen, otherwise the variable itself.

    Examples
    --------
    >>> from nengo_cam.scoring.readout import every_label
    >>> few = ncam.rate_cam(net, images, labels=[3, 5])
    >>> few.logits.sizes["label"], every_label(few).sizes["label"]
    (2, 10)
    """
    of_all = f"all_{variable}"
    # Without coordinates of the maps' labels, which are others.
    return result[of_all].rename(all_label="label") if of_all in result else result[variable]


def moving_steps(spiking: xr.Dataset) -> int:
    """Count the steps up to the last one in which a map changes.

    Parameters
    ----------
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`.

    Returns
    -------
    int
        Their number, at least 1. All steps unless levels are held: unit spikes that are averaged go on for ever.

    Raises
    ------
    ResultError
        If its readout is not known.

    Examples
    --------
    >>> from nengo_cam.scoring.readout import moving_steps
    >>> moving_steps(spiking) == spiking.sizes["time"]
    True
    """
    if not holds_level(spiking):
        return spiking.sizes["time"]
    maps = spiking["cam"].transpose("time", ...).values
    moved = np.flatnonzero((maps[1:] != maps[:-1]).reshape(len(maps) - 1, -1).any(axis=1))
    return int(moved[-1]) + 2 if len(moved) else 1


def moving_part(result: xr.Dataset, spiking: xr.Dataset) -> xr.Dataset:
    """Leave out the steps at the end in which no map changes, but for the first four of them.

    Parameters
    ----------
    result : xarray.Dataset
        What is to be shown: ``spiking`` itself, or what was averaged or filtered of it.
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`.

    Returns
    -------
    xarray.Dataset
        Of ``result``, the steps to show: all of them unless levels are held.

    Raises
    ------
    ResultError
        If its readout is not known.
    """
    return result.isel(time=slice(moving_steps(spiking) + _STILL_STEPS))


def reduction_of(result: xr.Dataset | xr.DataArray) -> str:
    """Say how maps were averaged or smoothed over time.

    Parameters
    ----------
    result : xarray.Dataset or xarray.DataArray
        Made by `nengo_cam.spiking_cam`, or from it.

    Returns
    -------
    str
        Its ``attrs["time_reduction"]``, such as "running mean"; empty if nothing was averaged. Levels that are kept as
        they are say so there, which is no reduction.

    Raises
    ------
    ResultError
        If its readout is not known.
    """
    reduction = str(result.attrs.get("time_reduction") or "")
    return "" if holds_level(result) and reduction.startswith(_UNREDUCED) else reduction


def spike_kind_of(result: xr.Dataset | xr.DataArray) -> str:
    """Say what a spike is.

    Parameters
    ----------
    result : xarray.Dataset or xarray.DataArray
        Made by `nengo_cam.spiking_cam`, or from it.

    Returns
    -------
    str
        Its ``attrs["spike_kind"]``: "unit", "signed unit", "power of two" or "graded", or several of them; "none" of
        neurons that do not spike; empty if it does not say so.
    """
    return str(result.attrs.get("spike_kind") or "")
