"""Files of numbers: tables of reports, and what a film shows as results and as a table over time."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from ..checks.output import check_writable
from ..exceptions import OutputPathError
from ..plotting.answers import logits_of
from ..scoring import agreement
from ..scoring.latency import decision_latency, explanation_latency
from ..scoring.positions import positions

__all__ = [
    "answers_over_time",
    "check_different",
    "check_table",
    "decision_table",
    "without_maps",
    "write_results",
    "write_table",
]

TABLES = (".nc", ".csv")
# What a film's table says with "agrees": as `nengo-cam compare` does without options.
_METRIC, _THRESHOLD = "pearson", 0.9


def check_table(path: pathlib.Path, inputs: Iterable[pathlib.Path], formats: tuple[str, ...] = TABLES) -> None:
    """Check where a table goes, before the run that it shows."""
    check_writable(path, inputs=list(inputs))
    if path.suffix.lower() not in formats:
        raise OutputPathError(
            f"output {str(path)!r}: not a format of tables; expected one of {list(formats)}, got {path.suffix!r}. "
            "Change the suffix."
        )


def check_different(paths: Iterable[pathlib.Path]) -> None:
    """Check that no two files are to be written to the same place."""
    seen: set[pathlib.Path] = set()
    for path in paths:
        place = path.absolute()
        if place in seen:
            raise OutputPathError(
                f"output {str(path)!r}: named twice; expected a file for each option, got one for two. Change one."
            )
        seen.add(place)


def write_table(dataset: xr.Dataset, path: pathlib.Path) -> None:
    """Write a table: all that belongs to it as netCDF, or the table alone as CSV."""
    if path.suffix.lower() == ".csv":
        dataset.to_dataframe().to_csv(path)
    else:
        dataset.to_netcdf(path, engine="h5netcdf")


def write_results(spiking: xr.Dataset, rate: xr.Dataset, path: pathlib.Path) -> None:
    """Write the maps of both networks into one netCDF file, those of the CNN as the group "rate"."""
    packed: Any = {"cam": {"zlib": True, "complevel": 1}}
    # The spiking ones first, where a program finds them that knows of no groups.
    spiking.to_netcdf(path, engine="h5netcdf", encoding=packed)
    rate.to_netcdf(path, mode="a", group="rate", engine="h5netcdf", encoding=packed)


def without_maps(spiking: xr.Dataset, *, raw: bool) -> xr.Dataset:
    """Average logits up to each step, unless single steps are asked for; of the maps, which are large, one cell."""
    small = spiking.isel({dim: slice(1) for dim in positions(spiking["cam"])})
    return small if raw else agreement.cumulative(small)


def answers_over_time(spiking: xr.Dataset, n_labels: int, *, raw: bool) -> xr.Dataset:
    """Find which logit is the largest, and from when on the answer stays the same, before maps of labels are left out.

    Parameters
    ----------
    spiking : xarray.Dataset
        Spiking maps as they were measured.
    n_labels : int
        How many labels the model has: among fewer, another one could have been in front.
    raw : bool
        Whether steps of unit spikes count by themselves instead of the running mean.

    Returns
    -------
    xarray.Dataset
        ``largest`` (image, time) [logit] and ``decision_latency`` (image) [s], which is NaN where the answer never
        settles; both are NaN where logits are missing.
    """
    logits, labels = logits_of(spiking)
    if logits is None or len(labels) < n_labels:
        unknown = {
            name: xr.full_like(spiking["image"], np.nan, dtype=float) for name in ("largest", "decision_latency")
        }
        return xr.Dataset(unknown)
    small = without_maps(spiking, raw=raw)
    # They were there before.
    every: Any = logits_of(small)[0]
    return xr.Dataset({"largest": every.max(every.dims[-1]), "decision_latency": decision_latency(small)["latency"]})


def decision_table(maps: xr.Dataset, rate: xr.Dataset, answers: xr.Dataset) -> xr.Dataset:
    """Put what a film shows into numbers: a row for each image, step and label.

    Parameters
    ----------
    maps : xarray.Dataset
        Spiking maps as they are shown.
    rate : xarray.Dataset
        Maps of the CNN.
    answers : xarray.Dataset
        Of `answers_over_time`.

    Returns
    -------
    xarray.Dataset
        Over image, time and label: ``logit``, ``rate_logit`` [logit], ``leads``, whether no label of the model has a
        larger logit at that step, and each metric of agreement with the CNN's map. Over image ``decision_latency``, and
        over image and label ``explanation_latency``, from when on the correlation of the maps is at least 0.9 [s].
    """
    scores = agreement.compare(maps, rate)
    logits, largest = maps["logits"], answers["largest"]
    agrees = explanation_latency(scores, _METRIC, _THRESHOLD, label=scores["label"])["latency"]
    # Neither yes nor no where it is not known.
    leads = (logits >= largest).astype(object).where(largest.notnull())
    columns: dict[Any, Any] = {"logit": logits, "rate_logit": rate["logits"], "leads": leads}
    columns.update(scores.data_vars)
    columns.update(decision_latency=answers["decision_latency"], explanation_latency=agrees)
    # Answers of the two networks differ between what they are coordinates of, and are columns of no row.
    table = xr.Dataset({name: values.reset_coords(drop=True) for name, values in columns.items()})
    return table.transpose("image", "time", "label").broadcast_like(table["logit"])
