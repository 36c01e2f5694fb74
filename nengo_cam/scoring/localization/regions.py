"""Boxes and masks in pixels of the image, as the cells of a map see them.

A cell stands for the pixels that are nearest to its center; those halfway between two cells belong to both by half.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from ...exceptions import LabelError, ParameterError, ResultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["Regions", "check_masks", "draw_boxes", "image_size"]


class Regions:
    """Regions of all images and labels, as cells see them.

    Attributes
    ----------
    axes : tuple of int
        Axes of the cells.
    exist : ndarray of bool of shape (N, L)
        Whether there is a region.
    hits : ndarray of bool of shape (N, L, Y, X)
        Cells whose center is in the region, or near enough.
    center_hits : ndarray of bool of shape (N, L)
        Whether the center of the image is.
    inside : ndarray of shape (N, L, Y, X)
        Area of each cell inside the region [pixel].
    area : ndarray of shape (Y, X)
        Area of each cell [pixel].
    """

    def __init__(
        self,
        of_image: Iterable[np.ndarray],
        image_shape: Sequence[int],
        centers: Sequence[np.ndarray],
        tolerance: float,
    ):
        """Take the masks of one image after the other: those of all images and labels need not fit into memory."""
        self.axes = tuple(range(-len(image_shape), 0))
        shares = [_shares(c, n) for c, n in zip(centers, image_shape)]
        middle = [[(n - 1) / 2] for n in image_shape]
        self.area = _onto_cells(np.ones(image_shape), shares)
        seen = []
        for masks in of_image:
            exist = masks.any(axis=self.axes)
            near = _widened(masks, tolerance) if tolerance > 0 else masks
            seen.append((exist, _at(near, centers), _at(near, middle).any(axis=self.axes), _onto_cells(masks, shares)))
        self.exist, self.hits, self.center_hits, self.inside = map(np.stack, zip(*seen))


def _shares(centers, n_pixels):
    """Share pixels among the cells with the nearest centers: shape (cells, pixels), columns sum to 1."""
    distance = np.abs(centers[:, None] - np.arange(n_pixels))
    nearest = distance <= distance.min(axis=0) + 1e-6
    return nearest / nearest.sum(axis=0)


def _onto_cells(values, shares):
    """Sum pixels (..., Y, X) over cells, axis by axis."""
    for i, share in enumerate(shares):
        axis = i - len(shares)
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ share.T, -1, axis)
    return values


def _at(masks, centers):
    """Look up masks at points; a point on the edge of pixels is in each of them, one outside in the nearest."""
    found = False
    sides = []
    for c, n in zip(centers, masks.shape[1:]):
        # Centers are sums of strides: rounding must not decide which pixel they are in.
        c = np.round(c, 6)
        sides.append([np.clip(side, 0, n - 1).astype(int) for side in (np.ceil(c - 0.5), np.floor(c + 0.5))])
    for corner in itertools.product(*sides):
        found = found | masks[(slice(None), *np.ix_(*corner))]
    return found


def _widened(masks, tolerance):
    """Add the pixels whose center is at most a distance away from that of a pixel of the mask."""
    # The distance to nothing is not defined.
    return np.stack([ndimage.distance_transform_edt(~m) <= tolerance if m.any() else m for m in masks])


def image_size(maps: xr.Dataset, image_shape: Sequence[int] | None, n_axes: int) -> tuple[int, ...]:
    given: Any = image_shape
    if given is None:
        given = maps.attrs.get("input_shape")
        if given is None:
            raise ResultError(
                "maps: the size of the image is not known; expected attrs['input_shape'], got none. Pass image_shape."
            )
        given = np.ravel(given)[:-1]
    shape = tuple(np.ravel(given).tolist())
    if len(shape) != n_axes or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ParameterError(
            f"image_shape: expected {n_axes} whole numbers of pixels, one for each axis of a map, got {given!r}. "
            "Leave out the channels."
        )
    return shape


def check_masks(masks: ArrayLike, cams: xr.DataArray, n_axes: int) -> np.ndarray:
    array = np.asarray(masks)
    n_images, n_labels = cams.sizes["image"], cams.sizes["label"]
    if array.dtype != bool or array.ndim != 2 + n_axes or array.shape[:2] != (n_images, n_labels) or array.size == 0:
        raise ParameterError(
            f"masks: expected booleans of shape ({n_images}, {n_labels}, ...) with {n_axes} axes of pixels, got "
            f"{array.dtype} of shape {array.shape}. Give a mask for each image and label, such as segments == label."
        )
    return array


def draw_boxes(
    boxes: ArrayLike, box_labels: ArrayLike | None, cams: xr.DataArray, image_shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """Check boxes, and return a generator of masks (L, Y, X), one for each image."""
    boxes, labels, n_images = np.asarray(boxes, float), cams["label"].values.tolist(), cams.sizes["image"]
    n_axes = len(image_shape)
    if boxes.ndim != 3 or boxes.shape[0] != n_images or boxes.shape[2] != 2 * n_axes:
        raise ParameterError(
            f"boxes: expected shape ({n_images}, B, {2 * n_axes}), one row of B boxes for each image, got "
            f"{boxes.shape}. Fill up rows with NaN."
        )
    if box_labels is None:
        box_labels = np.broadcast_to(cams["label"].values, (n_images, len(labels)))
    box_labels = np.asarray(box_labels)
    if box_labels.shape != boxes.shape[:2]:
        raise LabelError(
            f"box_labels: expected a label for each box, shape {boxes.shape[:2]}, got {box_labels.shape}. Name the "
            "label of each box, or give a box for each label."
        )
    first, last = boxes[..., :n_axes], boxes[..., n_axes:]
    there = ~np.isnan(boxes).all(axis=-1)
    # A pixel is in a half-open box if its center is.
    lowest, highest = np.maximum(np.ceil(first), 0), np.minimum(np.ceil(last), image_shape)
    wrong = boxes[there & ~(lowest < highest).all(axis=-1)]
    if len(wrong):
        raise ParameterError(
            f"boxes: expected first corners before last ones, within an image of {image_shape} pixels, got "
            f"{wrong[0].tolist()}. Order them (y0, x0, y1, x1)."
        )
    known = {label: i for i, label in enumerate(labels)}
    rows = [[known.get(label) for label in of_image] for of_image in box_labels.tolist()]
    if there.any() and all(row is None for of_image in rows for row in of_image):
        raise LabelError(
            f"box_labels: none has a map; expected some of {labels[:20]!r}, got {box_labels[0].tolist()!r}. "
            "Name labels as the coordinate label of maps does."
        )

    def draw():
        for i, of_image in enumerate(rows):
            masks = np.zeros((len(labels), *image_shape), bool)
            for k, row in enumerate(of_image):
                if row is not None and there[i, k]:
                    corners = zip(lowest[i, k].astype(int), highest[i, k].astype(int))
                    masks[(row, *(slice(*corner) for corner in corners))] = True
            yield masks

    return draw()
