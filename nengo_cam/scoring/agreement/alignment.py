"""What a Dataset must have to be read, and how two of them are brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ...exceptions import ResultError
from ..positions import describe, pixel_centers, positions, remedy_of_arrays

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["align", "blocks", "check_maps", "final_answers"]

#: Values of a block of maps that are worked on at a time: small enough to stay in a processor's cache, or nearly so.
BLOCK_SIZE = 2**20


def check_maps(name: str, result: xr.Dataset) -> xr.DataArray:
    """Check that a Dataset holds maps, and put their dims in order.

    Parameters
    ----------
    name : str
        What to call it in errors.
    result : xarray.Dataset
        What the user gave.

    Returns
    -------
    xarray.DataArray with dims (image, time, label, y, x)
        The maps; time may be missing, and the positions may be x, or z, y and x.

    Raises
    ------
    ResultError
        If it is not a Dataset, has no ``cam``, a dim is missing, too many or empty.
    """
    if not isinstance(result, xr.Dataset) or "cam" not in result:
        raise ResultError(
            f"{name}: expected a Dataset with the variable 'cam', got {describe(result)}. "
            + remedy_of_arrays(result, "Pass what spiking_cam or rate_cam gives.")
        )
    maps = result["cam"]
    cells = positions(maps)
    leading = ["image", *(["time"] if "time" in maps.dims else []), "label"]
    if set(maps.dims) != {*leading, *cells} or "x" not in cells or ("z" in cells and "y" not in cells):
        raise ResultError(
            f"{name}: 'cam' has the wrong dims; expected ('image', 'time', 'label', 'y', 'x'), with or without time, "
            f"y dropped or z added, got {maps.dims}. Keep a dim when you select from it, e.g. .isel(image=[0])."
        )
    if 0 in maps.shape:
        raise ResultError(
            f"{name}: 'cam' is empty; expected at least one entry per dim, got sizes {dict(maps.sizes)}. Select fewer "
            "entries away."
        )
    return maps.transpose(*leading, *cells)


def align(maps: xr.DataArray, references: xr.DataArray) -> xr.DataArray:
    """Pick the references that belong to maps.

    Parameters
    ----------
    maps, references : xarray.DataArray
        Both as `check_maps` gives them: spiking maps and rate maps.

    Returns
    -------
    xarray.DataArray
        References with the images and labels of the maps, in their order; a missing time axis has length 1.

    Raises
    ------
    ResultError
        If an image or a label of the maps has no reference, or positions or times differ.
    """
    for dim in positions(maps) + [dim for dim in ("time",) if dim in references.dims]:
        # Rows and columns by where they are in the image, which names of the user's do not change.
        ours, theirs = (
            (cams[dim].values if dim == "time" else pixel_centers(cams, dim)) if dim in cams.dims else None
            for cams in (maps, references)
        )
        if ours is None or theirs is None or ours.shape != theirs.shape or not np.allclose(ours, theirs):
            raise ResultError(
                f"rate: its {dim!r} differs from that of spiking; expected {_brief(ours)}, got {_brief(theirs)}. "
                "Compute both from the same network and images, or select the same part of both."
            )
    if positions(maps) != positions(references):
        raise ResultError(
            f"rate: its maps have other axes; expected {positions(maps)}, got {positions(references)}. Compute both "
            "from the same network."
        )
    for dim in ("image", "label"):
        known = {value: i for i, value in enumerate(references[dim].values.tolist())}
        missing = [value for value in maps[dim].values.tolist() if value not in known]
        if missing:
            raise ResultError(
                f"rate: it lacks entries of {dim!r}; expected {_brief(maps[dim].values)}, got no {missing[:5]!r}. "
                "Compute both from the same images and labels."
            )
        order = [known[value] for value in maps[dim].values.tolist()]
        # Selecting copies, and most pairs are in the same order already.
        if order != list(range(references.sizes[dim])):
            references = references.isel({dim: order})
    if "time" in maps.dims and "time" not in references.dims:
        references = references.expand_dims("time", axis=1)
    return references


def blocks(maps: xr.DataArray) -> Iterator[dict[str, slice]]:
    """Cut maps into blocks of some images, or of some steps of one, that are small enough to work on.

    Parameters
    ----------
    maps : xarray.DataArray
        As `check_maps` gives it.

    Yields
    ------
    dict of {str: slice}
        Images and steps of a block.
    """
    per_image = maps[0].size
    n_images = max(1, BLOCK_SIZE // per_image)
    n_steps = maps.sizes.get("time", 1)
    steps = n_steps if per_image <= BLOCK_SIZE else max(1, BLOCK_SIZE * n_steps // per_image)
    for first in range(0, maps.sizes["image"], n_images):
        rows = {"image": slice(first, min(first + n_images, maps.sizes["image"]))}
        if "time" not in maps.dims:
            yield rows
            continue
        for step in range(0, n_steps, steps):
            yield {**rows, "time": slice(step, min(step + steps, n_steps))}


def final_answers(logits: xr.DataArray) -> np.ndarray:
    """Find the label that each image is given at the last step.

    Parameters
    ----------
    logits : xarray.DataArray with dims (image, time, label) or (image, label)
        Logits.

    Returns
    -------
    ndarray of shape (N,)
        Values of the label coordinate; of several labels with the largest logit, the first.
    """
    last = logits.isel(time=-1) if "time" in logits.dims else logits
    values = last.transpose("image", "label").values
    # `argmax` takes NaN for the largest.
    return logits["label"].values[np.where(np.isnan(values), -np.inf, values).argmax(axis=1)]


def _brief(values, longest=8):
    if values is None:
        return "none"
    values = values.tolist()
    return repr(values) if len(values) <= longest else f"{len(values)} values {values[:3]!r}...{values[-1:]!r}"
