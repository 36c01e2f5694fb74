"""Scores of spiking against rate maps, with named dims."""

from __future__ import annotations

import inspect
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ...exceptions import ParameterError, ResultError
from ..positions import check_positions, positions
from ..readout import every_label
from .alignment import align, blocks, check_maps, final_answers
from .metrics import pearson
from .registry import get_metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["compare", "correlation"]


def compare(
    spiking: xr.Dataset,
    rate: xr.Dataset,
    *,
    metrics: str | Sequence[str] = ("pearson", "spearman", "cosine", "rmse", "ssim", "topk_iou"),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> xr.Dataset:
    """Score the maps of a spiking network at each time step against those of the rate network.

    Maps are taken as they are. Those of a single step of unit spikes are mostly noise: reduce them first by
    `cumulative` or `smooth`. A level that receivers hold (``attrs["readout"]`` "level") is scored at each step without.

    Images run a block at a time, so memory beyond the scores does not grow with their number.

    Parameters
    ----------
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`, with or without a time dimension.
    rate : xarray.Dataset
        Made by `nengo_cam.rate_cam`; it has all images and labels of ``spiking``. With a time dimension, which then
        is that of ``spiking``, each step is scored against its own map.
    metrics : str or sequence of str
        Metrics, by name; `nengo_cam.scoring.agreement.metric_names` lists them. In
        `nengo_cam.scoring.agreement.metrics` stands what each measures.
    options : dict of {str: dict}, optional
        Options of metrics, numbers by their names: ``{"topk_iou": {"fraction": 0.05}}``.

    Returns
    -------
    xarray.Dataset
        A variable for each metric, over image, time and label; NaN where it is undefined. Its attributes are its
        ``units``, ``long_name``, ``range``, which end is ``better``, "higher" or "lower", and its options. If both
        Datasets have logits, the coordinates ``spiking_answer`` and ``rate_answer`` (image) hold the labels with the
        largest logit at the last step.

    Raises
    ------
    ResultError
        If a Dataset has no maps, a dim is missing, too many or empty, ``rate`` lacks an image or label, or positions
        or times differ.
    ParameterError
        If a metric is unknown or given twice, or an option does not fit.

    See Also
    --------
    nengo_cam.comparison : Draw the maps of both networks side by side.

    Examples
    --------
    >>> scores = ncam.compare(ncam.cumulative(spiking), rate, metrics=["pearson", "rmse"])
    >>> scores.pearson.dims
    ('image', 'time', 'label')
    >>> of_answer = scores.pearson.sel(label=scores.rate_answer)
    >>> bool((of_answer.isel(time=-1) > of_answer.isel(time=4)).all())  # the maps come to agree
    True
    """
    maps, references = check_maps("spiking", spiking), check_maps("rate", rate)
    references = align(maps, references)
    chosen = _choose(metrics)
    options = _check_options(options, chosen)
    n_axes = len(positions(maps))
    scores = {metric.name: np.empty(maps.shape[:-n_axes]) for metric in chosen}
    for block in blocks(maps):
        ours = maps.isel(block).values
        # A reference without time has one step, for all of them.
        theirs = references.isel({dim: part for dim, part in block.items() if references.sizes[dim] > 1}).values
        for metric in chosen:
            scores[metric.name][tuple(block.values())] = metric.function(
                ours, theirs, n_axes=n_axes, **options.get(metric.name, {})
            )
    dims = maps.dims[:-n_axes]
    variables = {
        metric.name: (dims, scores[metric.name], {**metric.attrs, **options.get(metric.name, {})}) for metric in chosen
    }
    coords = {dim: maps.coords[dim] for dim in dims if dim in maps.coords}
    if "logits" in spiking and "logits" in rate:
        answers = final_answers(every_label(spiking)), _answers_of(rate, maps["image"].values)
        for name, values in zip(("spiking", "rate"), answers):
            long_name = f"final answer of the {name} network"
            coords[f"{name}_answer"] = ("image", values, {"long_name": long_name})
    attrs = {**spiking.attrs, "references": str(rate.attrs.get("simulator", "unknown"))}
    return xr.Dataset(variables, coords, attrs)


def correlation(maps: xr.DataArray, others: xr.DataArray) -> xr.DataArray:
    """Correlate maps with maps over their positions (Pearson).

    Parameters
    ----------
    maps, others : xarray.DataArray with dims (..., y, x), (..., x) or (..., z, y, x)
        Maps; the other dims are broadcast against each other, by name.

    Returns
    -------
    xarray.DataArray with the other dims
        Correlation from -1 to 1; NaN where one of the maps is constant.

    Raises
    ------
    ResultError
        If an array has no positions, or they have other ones.

    Examples
    --------
    >>> averaged = ncam.cumulative(spiking).isel(time=-1)
    >>> found = ncam.correlation(averaged.cam, rate.cam)
    >>> found.dims, bool((found.median("image") > 0.9).all())
    (('image', 'label'), True)
    """
    cells, theirs = check_positions("maps", maps), check_positions("others", others)
    if theirs != cells:
        raise ResultError(
            f"others: its maps have other axes than maps; expected {cells}, got {theirs}. Compute both from the same "
            "network."
        )
    # Joined as xarray's arithmetic does: images and labels that only one of them has are left out.
    return xr.apply_ufunc(
        pearson,
        maps,
        others,
        input_core_dims=[cells, cells],
        join="inner",
        kwargs={"n_axes": len(cells)},
        dask="parallelized",
        output_dtypes=[float],
        dask_gufunc_kwargs={"allow_rechunk": True},
    )


def _choose(metrics):
    # A name alone is a sequence too, of letters.
    names = [metrics] if isinstance(metrics, str) else list(metrics) if np.iterable(metrics) else [metrics]
    chosen = [get_metric(name) for name in names]
    if not names or len(set(names)) < len(names):
        raise ParameterError(f"metrics: expected at least one, each once, got {names!r}. Try ['pearson'].")
    return chosen


def _check_options(options, chosen):
    for name, given in (options or {}).items():
        functions = {metric.name: metric.function for metric in chosen}
        if name not in functions:
            raise ParameterError(
                f"options: expected those of the metrics {list(functions)}, got some of {name!r}. Add it to metrics."
            )
        # The first two are maps and references.
        known = list(inspect.signature(functions[name]).parameters)[2:]
        known.remove("n_axes")
        if not isinstance(given, dict) or not set(given) <= set(known):
            raise ParameterError(f"options: {name!r} has the options {known}; got {given!r}. Leave out the others.")
        if not all(isinstance(value, numbers.Real) for value in given.values()):
            raise ParameterError(
                f"options: expected one number for all images, steps and labels, got {given!r} for {name!r}. Call "
                f"nengo_cam.scoring.agreement.{name} on arrays."
            )
    return options or {}


def _answers_of(rate, images):
    """Answers of the rate network to the given images, in their order."""
    answers = dict(zip(rate["image"].values.tolist(), final_answers(every_label(rate))))
    return np.array([answers[image] for image in images.tolist()])
