"""The Dataset that maps are given in: names, units, coordinates and attributes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..models.coordinates import at_centers
from ..models.head import CAMHead
from .answers import Answers
from .provenance import provenance

__all__ = ["EveryLabel", "answer_variables", "label_maps", "maps_dataset", "part_labels", "place_coordinates"]


class EveryLabel(NamedTuple):
    """What is kept of all labels where maps of a few are: whose logit is largest is a matter of all of them.

    Attributes
    ----------
    names, bias : ndarray of shape (L,)
        Their names, and the bias of each [logit].
    logits : ndarray of shape (..., L)
        Their logits, with the leading axes of the maps.
    """

    names: NDArray[Any]
    bias: NDArray[np.floating]
    logits: NDArray[np.floating]


def part_labels(
    arrays: dict[str, NDArray[Any]], chosen: NDArray[np.int64], names: NDArray[Any], bias: NDArray[np.floating]
) -> tuple[dict[str, NDArray[Any]], EveryLabel | None]:
    """Part the logits of the labels that have maps from those of all labels.

    Parameters
    ----------
    arrays : dict of {str: ndarray}
        ``logits`` of all L labels, and other arrays.
    chosen : ndarray of int
        Positions of the labels that have maps.
    names, bias : ndarray of shape (L,)
        Of all labels.

    Returns
    -------
    arrays : dict of {str: ndarray}
        The same, with the logits of these labels.
    every : EveryLabel or None
        Logits of all labels; None if all have maps, in their order.
    """
    if np.array_equal(chosen, np.arange(len(names))):
        return arrays, None
    return {**arrays, "logits": arrays["logits"][..., chosen]}, EveryLabel(names, bias, arrays["logits"])


def maps_dataset(
    head: CAMHead,
    arrays: dict[str, NDArray[Any]],
    bias: NDArray[np.floating],
    labels: NDArray[Any],
    coords: dict[str, Any],
    how: dict[str, Any],
    *,
    every: EveryLabel | None = None,
) -> xr.Dataset:
    """Put maps of a model and what belongs to them under names, units and provenance.

    Parameters
    ----------
    head : CAMHead
        Head of the model.
    arrays, bias, labels, coords, every
        As for `label_maps`.
    how : dict of {str: object}
        How they were made.

    Returns
    -------
    xarray.Dataset
        See `nengo_cam.spiking_cam`.
    """
    cells = "receptive fields" if head.exact_centers else "image divided evenly"
    is_placed = head.center_unit == "pixel"
    # Of images that are vectors nobody knows where a cell lies: readers take what is left out as unknown.
    described = {
        "head": str(head),
        **({"input_shape": list(head.input_shape)} if is_placed else {}),
        "n_labels": int(head.n_labels),
        **({"cell_centers": cells} if is_placed else {}),
        **how,
    }
    dataset = label_maps(head, arrays, bias, labels, coords, place=head.center_unit, every=every)
    return dataset.assign_attrs(provenance(head, described))


def label_maps(
    head: CAMHead,
    arrays: dict[str, NDArray[Any]],
    bias: NDArray[np.floating],
    labels: NDArray[Any],
    coords: dict[str, Any],
    *,
    place: str = "pixel",
    every: EveryLabel | None = None,
) -> xr.Dataset:
    """Put maps and what belongs to them under names and units, without saying where they come from.

    Parameters
    ----------
    head : CAMHead
        Its dims, the centers of its cells, and the name of the features.
    arrays : dict of {str: ndarray}
        ``cam`` and ``logits``, and perhaps ``features``, ``spike_count`` and ``spike_size``.
    bias, labels : ndarray
        Of the labels that were mapped.
    coords : dict of {str: object}
        ``time`` if there is one, and ``layer`` if spikes were counted.
    place : str
        Unit of the centers.
    every : EveryLabel, optional
        Logits of all labels, where a part of them has maps.

    Returns
    -------
    xarray.Dataset
        See `nengo_cam.spiking_cam`; no attributes but ``coords``, if the user named rows or columns.
    """
    leading = ("image", "time") if "time" in coords else ("image",)
    units = {"units": "logit"}
    variables = {
        "cam": ((*leading, "label", *head.dims), arrays["cam"], {**units, "long_name": "class-activation map"}),
        "logits": ((*leading, "label"), arrays["logits"], {**units, "long_name": "logit"}),
        "bias": (("label",), bias, {**units, "long_name": "bias of the readout"}),
    }
    if "features" in arrays:
        variables["features"] = (
            (*leading, "channel", *head.dims),
            arrays["features"],
            {"units": "activation", "long_name": f"activity of {head.features}"},
        )
    if "spike_count" in arrays:
        variables["spike_count"] = (
            (*leading, "layer"),
            arrays["spike_count"],
            {"units": "spikes per step", "long_name": "spikes of all neurons of the layer"},
        )
    if "spike_size" in arrays:
        variables["spike_size"] = (
            (*leading, "layer"),
            arrays["spike_size"],
            {"units": "quanta per step", "long_name": "sizes of the spikes of all neurons of the layer"},
        )
    if every is not None:
        variables["all_logits"] = (
            (*leading, "all_label"),
            every.logits,
            {**units, "long_name": "logit of every label, also of those without map"},
        )
        variables["all_bias"] = (("all_label",), every.bias, {**units, "long_name": "bias of the readout"})
        coords = {**coords, "all_label": every.names}
    coords = {
        "image": np.arange(len(arrays["logits"])),
        **coords,
        "label": labels,
        **place_coordinates(head, place),
    }
    # What figures write at places between cells, and at pixels that no cell is centered on.
    given = {dim: values.tolist() for dim, values in head.coordinates.items()}
    return xr.Dataset(variables, coords, {"coords": json.dumps(given)} if given else None)


def place_coordinates(head: CAMHead, unit: str = "pixel") -> dict[str, Any]:
    """Say where cells are centered: in pixels, or by the user's coordinates with pixels beside them.

    Parameters
    ----------
    head : CAMHead
        Its dims, centers and coordinates.
    unit : str
        Unit of the centers.

    Returns
    -------
    dict of {str: tuple}
        Coordinates, for `xarray.Dataset`.
    """
    coords: dict[str, Any] = {}
    names = {"z": "plane", "y": "row", "x": "column"}
    for dim, centers in zip(head.dims, head.centers):
        about = {"units": unit, "long_name": names[dim]}
        if dim in head.coordinates:
            coords[dim] = (dim, at_centers(head.coordinates[dim], centers), {"long_name": names[dim]})
            coords[f"{dim}_pixel"] = (dim, centers, about)
        else:
            coords[dim] = (dim, centers, about)
    return coords


def answer_variables(
    answers: Answers,
    names: NDArray[Any],
    chosen: NDArray[np.int64],
    kept: NDArray[np.int64] | None,
    *,
    readout: str = "mean",
) -> dict[str, tuple[Any, ...]]:
    """Put what was answered under names and units.

    Parameters
    ----------
    answers : Answers
        What the network and its CNN answer.
    names : ndarray of shape (L,)
        Names of all labels.
    chosen : ndarray of int
        Labels whose logits are kept; an answer may be another one.
    kept : ndarray of int or None
        Steps that are kept; None if every step is.
    readout : str
        "mean" if running means up to these steps are kept, and the last half of the run answers; "level" if the steps
        are kept as they are, and the last one answers.

    Returns
    -------
    dict of {str: tuple}
        ``cnn_logits``, ``all_cnn_logits`` if some labels are not kept, and, if the model answers by a choice,
        ``answer`` and ``cnn_answer``, for `xarray.Dataset`.
    """
    logits = answers.cnn_logits
    moving = logits.ndim == 3
    if moving and kept is not None:
        # As all that is kept.
        means = readout == "mean"
        logits = np.cumsum(logits, axis=1, dtype=float)[:, kept] / (kept + 1)[:, None] if means else logits[:, kept]
    dims = ("image", "time", "label") if moving else ("image", "label")
    attrs = {"units": "logit", "long_name": "logit of the CNN"}
    variables: dict[str, tuple[Any, ...]] = {"cnn_logits": (dims, logits[..., chosen].astype(np.float32), attrs)}
    if not np.array_equal(chosen, np.arange(len(names))):
        variables["all_cnn_logits"] = ((*dims[:-1], "all_label"), logits.astype(np.float32), attrs)
    if answers.spiking is not None:
        valid = names if len(names) > 1 else np.arange(2)
        by = "last step" if readout == "level" else "mean of the last half of the run"
        for name, who, won in (
            ("answer", f"the spiking network, {by}", answers.spiking),
            ("cnn_answer", "the CNN", answers.cnn),
        ):
            variables[name] = ("image", valid[won], {"long_name": f"answer of {who}"})
    return variables
