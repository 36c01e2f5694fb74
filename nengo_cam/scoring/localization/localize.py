"""Scores of maps against regions, with named dims."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import xarray as xr

from ...checks.parameters import is_real
from ...exceptions import ParameterError, ResultError
from ..agreement.alignment import blocks, check_maps
from ..positions import pixel_centers, positions
from .regions import Regions, check_masks, draw_boxes, image_size
from .scores import (
    area_iou,
    center_prior,
    check_threshold,
    energy_inside,
    flat,
    iou_by_chance,
    mark_cells,
    marked_iou,
    pointing_game,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

__all__ = ["localization_scores"]


def localization_scores(
    maps: xr.Dataset,
    *,
    boxes: ArrayLike | None = None,
    box_labels: ArrayLike | None = None,
    masks: ArrayLike | None = None,
    image_shape: Sequence[int] | None = None,
    tolerance: float = 0.0,
    threshold: float = 0.2,
) -> xr.Dataset:
    """Score how well maps of labels point at the objects of these labels.

    Give either boxes or masks. Negative parts of a map are evidence against the label: they are never the strongest
    unless all is negative, and count as 0 in energy and overlap. Maps are taken as they are. Those of single steps of
    unit spikes are mostly noise: reduce them first by `nengo_cam.cumulative` or `nengo_cam.smooth`; a level that
    receivers hold (``attrs["readout"]`` "level") is scored at each step without.

    Parameters
    ----------
    maps : xarray.Dataset
        Made by `nengo_cam.spiking_cam` or `nengo_cam.rate_cam`.
    boxes : array_like of shape (N, B, 4), optional
        Boxes ``(y0, x0, y1, x1)`` [pixel], half-open, so that the object is ``image[y0:y1, x0:x1]``. For maps with
        one axis ``(x0, x1)``, with three ``(z0, y0, x0, z1, y1, x1)``. A box of NaN is none.
    box_labels : array_like of shape (N, B), optional
        The label of each box, as values of the coordinate ``label``; several boxes of a label make one region, and
        those of labels without map are left out. Default: there is a box for each label of ``maps``, in their order.
    masks : array_like of bool of shape (N, L, Y, X), optional
        Pixels of the objects of each label of ``maps``; an empty mask is no object.
    image_shape : sequence of int, optional
        Size of the image (Y, X) [pixel], for boxes. Default: ``maps.attrs["input_shape"]`` without channels.
    tolerance : float
        Distance from the object that still counts as a hit in the pointing game [pixel]; Zhang et al. take 15.
    threshold : float
        Part of its largest value from which on a map marks a cell, above 0 and up to 1.

    Returns
    -------
    xarray.Dataset
        Over image, time and label, NaN where an image has no object of the label:

        ``pointing``
            Pointing game: 1 if the pixel at the center of the strongest cell is in the region, or not farther from it
            than the tolerance; see `pointing_game` for ties. A center on the edge of pixels is in each of them.
        ``energy``
            Part of the positive evidence that lies inside, see `energy_inside`.
        ``iou``
            Overlap with what the map marks, see `area_iou`.

        Each of them with two baselines: ``pointing_center``, ``energy_center`` and ``iou_center`` (image, label), of
        `center_prior`, whose pointing is that of the image's center itself; ``pointing_random`` (image, label), of a
        random cell; ``energy_random`` (image, label), of a map that is the same everywhere, the region's part of the
        image; and ``iou_random`` (image, time, label), of areas as large as the region and what the map marks that
        share what they would by chance, the product of their parts of the image.

    Raises
    ------
    ResultError
        If ``maps`` has no maps or lacks coordinates, or the image's size is not known.
    ParameterError
        If not just one of boxes and masks is given, they do not fit maps or image, or ``tolerance`` or ``threshold``
        is out of range.
    LabelError
        If ``box_labels`` does not name a label for each box.

    Examples
    --------
    >>> scenes, labels, boxes = ncam.datasets.scattered_digits(4, seed=0)
    >>> maps = ncam.rate_cam(ncam.datasets.scattered_digits_model(), scenes)
    >>> scores = ncam.localization_scores(maps, boxes=boxes, box_labels=labels)
    >>> bool(scores.energy.mean() > scores.energy_random.mean())  # more evidence in the box than by chance
    True
    """
    cams = check_maps("maps", maps)
    check_threshold(threshold)
    if not is_real(tolerance) or not 0 <= tolerance < math.inf:
        raise ParameterError(f"tolerance: expected pixels from 0 up, got {tolerance!r}. Try tolerance=0.")
    cells = positions(cams)
    missing = [dim for dim in cells if dim not in cams.coords]
    if missing:
        raise ResultError(
            f"maps: no coordinates {missing}; expected centers of the cells in pixels of the image, got "
            f"{sorted(map(str, cams.coords))}. Assign them."
        )
    if (boxes is None) == (masks is None):
        given = "none" if boxes is None else "both"
        raise ParameterError(f"boxes: expected either boxes or masks, got {given}. Give one of them.")
    of_image: Iterable[np.ndarray]
    if boxes is not None:
        shape = image_size(maps, image_shape, len(cells))
        of_image = draw_boxes(boxes, box_labels, cams, shape)
    else:
        of_image = of_pixels = check_masks(cast("ArrayLike", masks), cams, len(cells))
        shape = of_pixels.shape[2:]
    centers = [pixel_centers(cams, dim) for dim in cells]
    regions = Regions(of_image, shape, centers, tolerance)
    scores = {
        **_score(cams, regions, threshold),
        **_score_center(regions, center_prior(centers, shape), threshold),
        "pointing_random": regions.hits.mean(axis=regions.axes),
        "energy_random": regions.inside.sum(axis=regions.axes) / regions.area.sum(),
    }
    return _dataset(cams, scores, regions.exist, {"tolerance": float(tolerance), "threshold": float(threshold)})


def _score(cams, regions, threshold):
    """Score maps, a block at a time."""
    shape = cams.shape[: -len(regions.axes)]
    scores = {name: np.empty(shape) for name in ("pointing", "energy", "iou", "iou_random")}
    for block in blocks(cams):
        maps = cams.isel(block).values
        hits, inside = regions.hits[block["image"]], regions.inside[block["image"]]
        if "time" in block:
            # Objects stand still: the same at all steps.
            hits, inside = hits[:, None], inside[:, None]
        part = tuple(block.values())
        scores["pointing"][part] = pointing_game(maps, hits, n_axes=len(regions.axes))
        scores["energy"][part] = energy_inside(maps, inside, regions.area, n_axes=len(regions.axes))
        marked, inside, area = (flat(values, len(regions.axes)) for values in (maps, inside, regions.area))
        marked = mark_cells(marked, threshold)
        scores["iou"][part] = marked_iou(marked, inside, area)
        scores["iou_random"][part] = iou_by_chance(marked, inside, area)
    return scores


def _score_center(regions, prior, threshold):
    n_axes = len(regions.axes)
    return {
        "pointing_center": regions.center_hits.astype(float),
        "energy_center": energy_inside(prior, regions.inside, regions.area, n_axes=n_axes),
        "iou_center": area_iou(prior, regions.inside, regions.area, threshold=threshold, n_axes=n_axes),
    }


_LONG_NAMES = {
    "pointing": "strongest cell on the object",
    "energy": "positive evidence on the object",
    "iou": "overlap with the object",
}


def _dataset(cams, scores, exist, attrs):
    """Put scores under names, NaN where there is no object."""
    variables = {}
    for name, values in scores.items():
        score, _, baseline = name.partition("_")
        over_time = values.ndim == 3
        dims = ("image", "time", "label") if over_time else ("image", "label")
        values = np.where(exist[:, None] if over_time else exist, values, np.nan)
        long_name = _LONG_NAMES[score] + (f", {baseline} baseline" if baseline else "")
        variables[name] = (dims, values, {"units": "1", "long_name": long_name, "better": "higher"})
    coords = {dim: cams.coords[dim] for dim in ("image", "time", "label") if dim in cams.coords}
    return xr.Dataset(variables, coords, attrs)
