"""Which axes of an array of features are which: told by the shape, or refused with the remedy that fits."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..exceptions import LayoutError

__all__ = ["Layout", "check_logits_shape", "layout_of_head", "layout_of_kernel"]

_AXES = ("Z", "Y", "X")
Shape = tuple[int, ...]


class Layout(NamedTuple):
    """How an array of features is read.

    Attributes
    ----------
    leading : tuple of int
        Sizes of its axes before the map: (N, T), (T,) of one image, or (N,) without time.
    map_shape : tuple of int
        Shape of the map.
    kernel : ndarray of shape (K, L)
        Readout weights.
    """

    leading: Shape
    map_shape: Shape
    kernel: NDArray[Any]


def layout_of_head(shape: Shape, kernel: NDArray[Any], map_shape: Shape, *, timed: bool) -> Layout:
    """Read a shape where map and channels are known.

    Parameters
    ----------
    shape : tuple of int
        Shape of the features.
    kernel : ndarray of shape (K, L)
        Readout weights.
    map_shape : tuple of int
        Shape of the map.
    timed : bool
        Whether there is an axis of time.

    Returns
    -------
    Layout

    Raises
    ------
    LayoutError
        If the shape does not fit.
    """
    n_channels, n_labels = kernel.shape
    leading = _leading(shape, n_channels, map_shape, timed)
    if leading is not None:
        return Layout(leading, map_shape, kernel)
    if _leading(shape, n_labels, map_shape, timed) is not None:
        # Nengo has weights the other way round than Keras, so this is what putting them into a head leads to.
        raise LayoutError(
            f"head_or_kernel: the kernel of the head is transposed; expected ({n_labels}, {n_channels}) as (K, L), got "
            f"{kernel.shape}. Put it in as dataclasses.replace(head, kernel=weights.T).",
            layout="transposed kernel",
        )
    raise _misfit(shape, n_channels, n_labels, map_shape, timed)


def layout_of_kernel(
    shape: Shape,
    weights: NDArray[Any],
    map_shape: Shape | None,
    *,
    n_labels: int | None,
    n_leading: int | None,
    timed: bool,
) -> Layout:
    """Read a shape where a matrix is all that is known.

    Parameters
    ----------
    shape : tuple of int
        Shape of the features.
    weights : ndarray of shape (K, L) or (L, K)
        Readout weights.
    map_shape : tuple of int or None
        Shape of the map, if the user says it.
    n_labels : int or None
        L, if logits or a bias tell.
    n_leading : int or None
        How many axes stand before those of the map, if logits tell.
    timed : bool
        Whether there is an axis of time.

    Returns
    -------
    Layout

    Raises
    ------
    LayoutError
        If the shape does not fit, or does not tell enough.
    """
    kernels = _orientations(weights, n_labels)
    if map_shape is not None:
        for kernel in kernels:
            leading = _leading(shape, kernel.shape[0], map_shape, timed)
            if leading is not None:
                return Layout(leading, map_shape, kernel)
        n_channels, labels = kernels[0].shape
        raise _misfit(shape, n_channels, labels, map_shape, timed)
    images_first = 2 if timed else 1
    if n_leading is None and len(shape) > images_first + 2:
        # Of one image with three axes of the map too, if nothing else is said: far rarer than images with two.
        n_leading = images_first
    for kernel in kernels:
        if shape[-1] == kernel.shape[0]:
            return _spelled_out(shape, kernel, n_leading, timed)
    raise _unread(shape, kernels, timed)


def check_logits_shape(shape: Shape, leading: Shape, n_labels: int) -> None:
    """Check that logits are of the images, steps and labels that there are.

    Parameters
    ----------
    shape : tuple of int
        Shape of the logits.
    leading : tuple of int
        (N, T), or (N,) without time.
    n_labels : int
        L.

    Raises
    ------
    LayoutError
        If they are not.
    """
    expected = (*leading, n_labels)
    if shape == expected or (len(leading) == 2 and leading[0] == 1 and shape == expected[1:]):
        return
    layout, wrong, remedy = "logits", "the shape does not fit the features", "Probe both in one run"
    if len(leading) == 2 and shape == (leading[1], leading[0], n_labels):
        layout, wrong = "time first", "images and time stand the other way round than in the features"
        remedy = "Give both as (N, T, ...), with swapaxes(0, 1) on the one that has time first"
    elif len(leading) == 1 and shape[0] == leading[0] and len(shape) == 3:
        wrong, remedy = "there is an axis of time, and dt is None", "Pass dt, or logits and features of one step"
    elif shape[:-1] == leading:
        wrong, remedy = f"the readout has {n_labels} labels", "Pass the kernel of this readout"
    elif len(leading) == 2 and shape == (leading[0], n_labels):
        wrong, remedy = "there is no axis of time", "Probe the logits at every step, as the features"
    elif len(shape) == len(expected) and len(leading) == 2 and shape[0] == leading[0]:
        wrong = "there are more or fewer steps than of the features"
        remedy = "Probe both in one run, with the same sample_every"
    raise LayoutError(f"logits: {wrong}; expected shape {expected}, got {shape}. {remedy}.", layout=layout)


def _orientations(weights, n_labels):
    """Return the kernel (K, L) that a matrix is, or both that it may be, as Keras has it first."""
    rows, columns = weights.shape
    if rows != columns and n_labels in (rows, columns):
        return [weights if n_labels == columns else weights.T]
    return [weights] if rows == columns else [weights, weights.T]


def _leading(shape, n_channels, map_shape, timed) -> Shape | None:
    """Return the axes before the map, if the others are those of the map: flat or spelled out."""
    flat = (math.prod(map_shape) * n_channels,)
    for n in _counts(timed):
        # A map of a single position is flat either way.
        if shape[n:] in (flat, (*map_shape, n_channels)):
            return shape[:n]
    return None


def _counts(timed):
    """How many axes stand before those of the map: (N, T) or (T,); (N,)."""
    return (2, 1) if timed else (1,)


def _spelled_out(shape, kernel, n_leading, timed):
    """Read a shape whose last axis are the channels."""
    names = "(N, T" if timed else "(N"
    if n_leading is None or len(shape) <= n_leading + 1:
        flat_or_short = n_leading is not None or len(shape) < 3
        wrong = "without axes of a map" if flat_or_short else "which axes are those of the map is not known"
        remedy = (
            "Probe what is pooled, not the pooling"
            if flat_or_short
            else "Pass map_shape, or features[None] for one image"
        )
        raise LayoutError(
            f"features: {wrong}; expected {names}, Y, X, {kernel.shape[0]}), got {shape}. {remedy}.",
            layout="pooled" if flat_or_short else "ambiguous",
        )
    map_shape = shape[n_leading:-1]
    if len(map_shape) > len(_AXES):
        raise LayoutError(
            f"features: too many axes; expected at most {names}, Z, Y, X, {kernel.shape[0]}), got {shape}. Merge or "
            "select them.",
            layout="number of axes",
        )
    return Layout(shape[:n_leading], map_shape, kernel)


def _unread(shape, kernels, timed):
    """Make the error for a shape without channels at its end, where the map is not known."""
    sizes = " or ".join(str(kernel.shape[0]) for kernel in kernels)
    lead = "N, T" if timed else "N"
    if len(shape) <= max(_counts(timed)) + 1:
        for kernel in kernels:
            n_cells, rest = divmod(shape[-1], kernel.shape[0])
            if not rest:
                side = math.isqrt(n_cells)
                such = f" such as ({side}, {side})" if side * side == n_cells else f" of {n_cells} positions"
                return LayoutError(
                    f"features: flat, and the shape of the map is not known; expected map_shape=(Y, X) with Y*X = "
                    f"{n_cells}, as {shape[-1]} values are {n_cells} positions of {kernel.shape[0]} channels, got "
                    f"None. Pass map_shape{such}.",
                    layout="flat",
                )
        return LayoutError(
            f"features: {shape[-1]} values are not positions of {sizes} channels; expected ({lead}, Y*X*K), got "
            f"{shape}. Probe what is pooled, and pass the kernel of the readout behind it.",
            layout="number of elements",
        )
    # The axes that come first are images and time.
    for kernel in kernels:
        for axis in range(len(_counts(timed)), len(shape) - 1):
            if shape[axis] == kernel.shape[0]:
                return LayoutError(
                    f"features: the channels are not last; expected ({lead}, Y, X, {kernel.shape[0]}), got {shape}. "
                    f"Move them, e.g. np.moveaxis(features, {axis}, -1).",
                    layout="channels first",
                )
    return LayoutError(
        f"features: no axis of {sizes} channels; expected ({lead}, Y, X, K), got {shape}. Pass the kernel of the "
        "readout behind these features.",
        layout="another number of channels",
    )


def _misfit(shape, n_channels, n_labels, map_shape, timed):
    """Make the error for a shape that does not fit a map that is known."""
    n_cells = math.prod(map_shape)
    target = (*map_shape, n_channels)
    names = ", ".join(_AXES[-len(map_shape) :])
    lead = "N, T" if timed else "N"
    layout, wrong, remedy = _diagnose(shape, n_channels, n_labels, map_shape, timed)
    sizes = ", ".join(map(str, target))
    return LayoutError(
        f"features: {wrong}; expected ({lead}, {n_cells * n_channels}) or ({lead}, {sizes}), which is {names} and "
        f"channels{', or without N' if timed else ''}, got {shape}. {remedy}.",
        layout=layout,
    )


def _diagnose(shape, n_channels, n_labels, map_shape, timed):
    """Say what is wrong with a shape: short name, clause, remedy."""
    n_cells, target = math.prod(map_shape), (*map_shape, n_channels)
    flat = (n_cells * n_channels,)
    if timed and shape in (target, flat):
        return "no time", "there is no axis of time", "Probe every step, or pass dt=None for features without time"
    if not timed and shape in (target, flat):
        return "no images", "there is no axis of images", "Pass features[None]"
    if not timed and shape[2:] in (target, flat):
        return "time", "there is an axis of time, and dt is None", "Pass dt, the time from step to step in seconds"
    for n in _counts(timed):
        tail = shape[n:]
        if len(tail) == len(target) and sorted(tail) == sorted(target):
            return _reordered(tail, target, n)
    for n in _counts(timed):
        tail = shape[n:]
        if len(tail) == 1:
            return _flat_misfit(tail[0], n_channels, n_labels, n_cells)
        if len(tail) == len(target) and tail[-1] == n_channels:
            return "another map_shape", f"the map is {tail[:-1]}", _other_map(math.prod(tail[:-1]))
        if len(tail) == len(target) and tail[:-1] == map_shape:
            return _other_channels(tail[-1], n_channels)
    return "number of axes", "the axes do not fit", "Pass sim.data[probe] as it comes, of all steps"


def _reordered(tail, target, n_leading):
    """Say in which other order the axes stand."""
    orders = itertools.permutations(range(len(target)))
    order = next(order for order in orders if tuple(tail[axis] for axis in order) == target)
    axes = (*range(n_leading), *(n_leading + axis for axis in order))
    if tail == (target[-1], *target[:-1]):
        return "channels first", "the channels come first", f"Move them: np.moveaxis(features, {n_leading}, -1)"
    if tail[-1] == target[-1]:
        return (
            "rows and columns swapped",
            "the axes of the map stand in another order",
            f"Swap them: features.transpose{axes}",
        )
    return "channels in the middle", "the axes stand in another order", f"Order them: features.transpose{axes}"


def _flat_misfit(size, n_channels, n_labels, n_cells):
    """Say what a flat axis of another length holds."""
    if size == n_channels:
        return "pooled", "they are pooled already", "Probe what goes into the pooling"
    if size == n_labels:
        return "logits", f"they are {n_labels} logits, by their number", "Probe what goes into the pooling"
    if size % n_channels == 0:
        cells = size // n_channels
        wrong = f"{size} values are {cells} positions of {n_channels} channels, and the map has {n_cells}"
        return "another map_shape", wrong, _other_map(cells)
    if size % n_cells == 0:
        return _other_channels(size // n_cells, n_channels)
    wrong = f"{size} values are not positions of {n_channels} channels"
    return "number of elements", wrong, "Probe what goes into the pooling"


def _other_map(n_cells):
    return f"Probe what goes into the pooling, or pass the head or map_shape of a map of {n_cells} positions"


def _other_channels(found, n_channels):
    wrong = f"there are {found} channels, and the readout takes {n_channels}"
    return "another number of channels", wrong, "Pass the kernel of the readout behind these features"
