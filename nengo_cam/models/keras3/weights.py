"""Weights of a model by the path of the layer: of a model in memory, and in the two kinds of files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import compat
from ...exceptions import InputFileError

__all__ = ["archive_weights", "legacy_weights", "live_weights"]

_OLD_CONTAINER = "_layer_checkpoint_dependencies"


def live_weights(model: Any) -> Callable[..., Any]:
    """Return a callable that gives the weights of a Keras 3 model.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential model.

    Returns
    -------
    callable
        From the names of the models that a layer is in, and its own, to its list of arrays.
    """

    def weights(path):
        layer = model
        for name in path:
            layer = layer.get_layer(name)
        return layer.get_weights()

    return weights


def archive_weights(file: Any, description: dict) -> Callable[..., Any]:
    """Return a callable that gives the weights in ``model.weights.h5``, a part of each ``.keras`` file.

    Keras files layers by class, in their order: ``layers/conv2d``, ``layers/conv2d_1``, whatever their names.

    Parameters
    ----------
    file : h5py.File
        The file, open.
    description : dict
        What ``config.json`` says.

    Returns
    -------
    callable
        As `live_weights`.
    """
    groups: dict[str, Any] = {}

    def weights(path):
        groups.update({} if groups else _groups(file, description))
        stored = file.get(f"{groups[path]}/vars", {})
        return [_floating(path, stored[number]) for number in sorted(stored, key=int)]

    return weights


def _groups(file, description, path=(), prefix=""):
    """List the path of each layer, and its group in the file."""
    counts, container = {}, "layers"
    if f"{prefix}{_OLD_CONTAINER}" in file:
        container = _OLD_CONTAINER
    for data in description["config"]["layers"]:
        if (data.get("module") or "").startswith("keras.src.ops"):
            continue
        kind = compat.snake_case(data["class_name"])
        number = counts.setdefault(kind, 0)
        names = (*path, data.get("name") or data["config"]["name"])
        group = f"{prefix}{container}/{kind}_{number}" if number else f"{prefix}{container}/{kind}"
        # Keras 2.12 lists layers with weights once more, and so skips a number behind each.
        counts[kind] += 2 if container == _OLD_CONTAINER and _holds_arrays(file.get(group)) else 1
        yield names, group
        if "layers" in data["config"]:
            yield from _groups(file, data, names, f"{group}/")


def _holds_arrays(group):
    return group is not None and group.visititems(lambda name, item: True if hasattr(item, "shape") else None) is True


def legacy_weights(file: Any) -> Callable[..., Any]:
    """Return a callable that gives the weights in an HDF5 file that Keras 3 has written.

    Parameters
    ----------
    file : h5py.File
        The file, open.

    Returns
    -------
    callable
        As `live_weights`.
    """

    def weights(path):
        group = file["model_weights"].get(path[0], {})
        names = [_text(name) for name in _all_names(group)]
        if len(path) == 1:
            return [_floating(path, group[name]) for name in names]
        # A nested model has the weights of all its layers in one list, each named by as much of model/layer/weight
        # as there was when the layer was made.
        layers = {tuple(name.split("/")[:-1]) for name in names}
        fitting = [layer for layer in layers if _share_end(layer, path)]
        longest = max(map(len, fitting), default=0)
        own = [layer for layer in fitting if len(layer) == longest]
        if len(own) > 1:
            raise InputFileError(
                f"layer {'/'.join(path)!r}: the file has weights of several layers of that name; expected one, got "
                f"{sorted('/'.join(layer) for layer in own)}. Save the model as a .keras file."
            )
        return [_floating(path, group[name]) for name in names if tuple(name.split("/")[:-1]) in own]

    return weights


def _share_end(names, others):
    n = min(len(names), len(others))
    return names[-n:] == others[-n:]


def _all_names(group):
    """Read a list that HDF5 keeps in parts if it is long."""
    if not hasattr(group, "attrs"):
        return []
    if "weight_names" in group.attrs:
        return group.attrs["weight_names"]
    parts = [name for name in group.attrs if re.fullmatch(r"weight_names\d+", name)]
    return [name for part in sorted(parts, key=lambda part: int(part[12:])) for name in group.attrs[part]]


def _text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _floating(path, dataset):
    """Read an array of numbers."""
    array = np.asarray(dataset)
    # Keras writes bfloat16 as bytes, and says so in an attribute.
    if "dtype" in dataset.attrs or array.dtype.kind not in "fiu":
        raise InputFileError(
            f"layer {'/'.join(path)!r}: its weights are stored as {_text(dataset.attrs.get('dtype', array.dtype))}; "
            "expected floating-point numbers, got something else. Save the model in float32."
        )
    return array
