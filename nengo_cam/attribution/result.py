"""The Dataset that attributions are given in: names, units, coordinates and attributes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..measurement.maps_dataset import place_coordinates
from ..measurement.provenance import provenance
from ..models.geometry import cell_centers
from ..models.head import CAMHead
from ..models.simplify import ReducedModel
from .gradients import has_channels_first, input_positions
from .methods import Method
from .targets import Targets

__all__ = ["Arrays", "attribution_dataset", "attribution_shape", "placed_head"]


class Arrays:
    """Attributions of all images, and what belongs to them, filled block by block.

    Parameters
    ----------
    leading : tuple of int
        Axes in front: images, and times if there are any.
    targets : Targets
        What is explained.
    shape : tuple of int
        Of an attribution; see `attribution_shape`.
    layers : sequence of str
        Layer calls that shares may be of.

    Attributes
    ----------
    attribution : ndarray of float32 of shape (..., targets, positions)
        Attributions.
    shares : dict of {str: ndarray of float32 of shape (..., targets, layers)}
        Shares of the logit that are elsewhere, by name.
    layers : list of str
        As given.
    """

    def __init__(self, leading: tuple[int, ...], targets: Targets, shape: tuple[int, ...], layers: Any) -> None:
        self._leading = (*leading, targets.n_targets)
        self.attribution = np.zeros((*self._leading, *shape), np.float32)
        self.shares: dict[str, NDArray[np.float32]] = {}
        self.layers = list(layers)
        self._booked: set[str] = set()

    def split_leading(self, leading: tuple[int, ...]) -> None:
        """Give the axes in front another shape.

        Parameters
        ----------
        leading : tuple of int
            Images, and times.
        """
        n_before = len(self._leading) - 1
        self._leading = (*leading, self._leading[-1])
        self.attribution = self.attribution.reshape((*leading, *self.attribution.shape[n_before:]))
        self.shares = {
            name: values.reshape((*leading, *values.shape[n_before:])) for name, values in self.shares.items()
        }

    def put_shares(self, where: Any, shares: Mapping[str, Mapping[str, NDArray[Any]]], by_block: Any) -> None:
        """Keep what a method said of other shares.

        Parameters
        ----------
        where : tuple
            Index of the leading axes and the target.
        shares : mapping
            Of `nengo_cam.attribution.methods.Explained`.
        by_block : callable
            Gives an array (N, ...) the leading axes of ``where``.
        """
        for name, by_layer in shares.items():
            if name not in self.shares:
                # A layer that a share is not of has none.
                self.shares[name] = np.zeros((*self._leading, len(self.layers)), np.float32)
            self._booked.update(by_layer)
            for layer, values in by_layer.items():
                self.shares[name][(*where, self.layers.index(layer))] = by_block(np.asarray(values))

    def booked(self) -> tuple[list[str], list[int]]:
        """Name the layer calls that shares are of, in the order of running, and say where they stand in arrays."""
        places = [i for i, layer in enumerate(self.layers) if layer in self._booked]
        return [self.layers[i] for i in places], places


def attribution_shape(reduced: ReducedModel, layer: str | None, *, keep_channels: bool) -> tuple[int, ...]:
    """Return the shape of one attribution.

    Parameters
    ----------
    reduced : ReducedModel
        The model.
    layer : str or None
        Layer call whose resolution it has; None for the input's.
    keep_channels : bool
        Whether contributions of channels stay apart.

    Returns
    -------
    tuple of int
        (Y, X) or (Y, X, channels), with one or three axes of positions likewise.
    """
    if layer is None:
        shape = tuple(reduced.head.input_shape)
        positions, channels = input_positions(reduced), shape[0] if has_channels_first(reduced) else shape[-1]
    else:
        *positions, channels = reduced.flat.calls[reduced.flat.call_names.index(layer)].output_shapes[0][1:]
    return (*positions, channels) if keep_channels else tuple(positions)


def placed_head(reduced: ReducedModel, head: CAMHead, layer: str | None) -> CAMHead:
    """Describe the places that an attribution is of as those of maps are described.

    Parameters
    ----------
    reduced : ReducedModel
        The model.
    head : CAMHead
        Its head, with the user's coordinates.
    layer : str or None
        Layer call whose resolution it has; None for the input's, whose cells are the pixels.

    Returns
    -------
    CAMHead
        The same with other centers.
    """
    if layer is None:
        positions = input_positions(reduced)
        return dataclasses.replace(
            head, map_shape=positions, centers=tuple(map(np.arange, positions)), exact_centers=True
        )
    key = reduced.flat.calls[reduced.flat.call_names.index(layer)].outputs[0]
    centers, exact = cell_centers(reduced.flat, key)
    map_shape = tuple(len(axis) for axis in centers)
    return dataclasses.replace(head, map_shape=map_shape, centers=centers, exact_centers=exact)


def attribution_dataset(
    head: CAMHead,
    method: Method,
    targets: Targets,
    names: NDArray[Any],
    arrays: Arrays,
    *,
    chosen: NDArray[np.int64],
    logits: NDArray[np.floating],
    cnn_logits: NDArray[np.floating],
    coords: dict[str, Any],
    how: dict[str, Any],
    keep_channels: bool,
) -> xr.Dataset:
    """Put attributions and what belongs to them under names, units and provenance.

    Parameters
    ----------
    head : CAMHead
        Places, of `placed_head`.
    method : Method
        What made them.
    targets : Targets
        What is explained.
    names : ndarray of shape (L,)
        Names of all labels.
    arrays : Arrays
        The attributions.
    chosen : ndarray of int of shape (N, targets)
        Labels that were explained of each image.
    logits : ndarray of shape (N, [T,] L)
        Logits of the network [logit].
    cnn_logits : ndarray of shape (N, L)
        Those of the CNN that labels were chosen by [logit].
    coords : dict of {str: object}
        ``time`` if there is one.
    how : dict of {str: object}
        How they were made.
    keep_channels : bool
        Whether contributions of channels are apart.

    Returns
    -------
    xarray.Dataset
        See `nengo_cam.attribute`.
    """
    leading = ("image", "time") if "time" in coords else ("image",)
    # The axis of targets stands where maps have their labels; one target of each image has none.
    target_dims = () if targets.dim is None else (targets.dim,)
    of_target = (..., 0) if targets.dim is None else (...,)
    axis = len(leading)

    def without_axis(values):
        return values if target_dims else values.take(0, axis=axis)

    logit = {"units": "logit"}
    kept = {"label": names[targets.fixed]} if targets.fixed is not None else {"label": names}
    is_part = targets.fixed is not None and not np.array_equal(targets.fixed, np.arange(len(names)))
    variables: dict[str, Any] = {
        "attribution": (
            (*leading, *target_dims, *head.dims, *(("channel",) if keep_channels else ())),
            without_axis(arrays.attribution),
            {"units": method.units, "long_name": method.long_name},
        ),
    }
    for prefix, dim, part in (("", "label", is_part), ("all_", "all_label", False)):
        if prefix and not is_part:
            continue
        about = {**logit, "long_name": "logit"}
        picked = (..., targets.fixed) if part else (...,)
        variables[f"{prefix}logits"] = ((*leading, dim), logits[picked], about)
        variables[f"{prefix}cnn_logits"] = (
            ("image", dim),
            cnn_logits[picked],
            {**about, "long_name": "logit of the CNN"},
        )
    layers, of_layers = arrays.booked()
    for name, values in arrays.shares.items():
        about = {**logit, "long_name": f"{name.replace('_', ' ')} of what is explained"}
        variables[name] = ((*leading, *target_dims, "layer"), without_axis(values[..., of_layers]), about)
    places = {"image": np.arange(len(chosen)), **coords, **kept, **place_coordinates(head, head.center_unit)}
    if is_part:
        places["all_label"] = names
    if targets.dim == "rank":
        places["rank"] = np.arange(1, targets.n_targets + 1)
    if targets.by_image:
        about = {"long_name": "label that is explained"}
        places["target"] = (("image", *target_dims), names[chosen][of_target], about)
    if arrays.shares:
        places["layer"] = layers
    given = {dim: values.tolist() for dim, values in head.coordinates.items()}
    is_placed = head.center_unit == "pixel"
    described = {
        **({"coords": json.dumps(given)} if given else {}),
        **({"input_shape": list(head.input_shape)} if is_placed else {}),
        "n_labels": int(head.n_labels),
        "method": method.name,
        "target": targets.description,
        **how,
    }
    return xr.Dataset(variables, places, provenance(head, described))
