"""A whole model from its description: layers made, called as they were called, and given their weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import compat
from ...exceptions import UnsupportedModelError
from .layers import Entry, make_layer
from .operations import apply_operation

__all__ = ["Rebuilt", "rebuild"]


@dataclasses.dataclass(frozen=True, eq=False)
class Rebuilt:
    """A model that was rebuilt with Keras 2.

    Attributes
    ----------
    model : tf.keras.Model
        The model, for inference: names and outputs are those of its source.
    largest_difference : float or None
        Largest difference from the source on random images in any layer, as a fraction of the layer's largest output;
        None if there was no Keras 3 to run the source.
    unchecked : str or None
        Why there is none.
    """

    model: Any
    largest_difference: float | None = None
    unchecked: str | None = None


def rebuild(description: dict, weights: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Rebuild a model with Keras 2.

    Parameters
    ----------
    description : dict
        What Keras writes of the model into ``config.json``, or into the attribute ``model_config`` of an HDF5 file.
    weights : callable
        From the path of a layer, the names of the nested models that it is in and its own, to its list of arrays.

    Returns
    -------
    model : tf.keras.Model
        Functional model.
    outputs : dict of {str: symbolic tensor}
        Output of each layer that is called once, by the layer's name; without nested models.

    Raises
    ------
    UnsupportedModelError
        If something cannot be rebuilt; names the layer and its class. If weights do not fit a layer.
    """
    entry = Entry({"inbound_nodes": [], **description}, _name(description))
    if not entry.is_model:
        raise entry.error(
            "expected a Functional or Sequential model, got another class", "Build it with the functional API"
        )
    builder = _Builder(entry)
    for path, layer in builder.layers:
        _set_weights(builder.entries[path], layer, weights(path))
    return builder.model, builder.outputs


def _name(description):
    try:
        return description["config"]["name"]
    except (KeyError, TypeError) as err:
        raise UnsupportedModelError(
            "model: its description names no model; expected 'config' with 'name', got something else. Save it with "
            "model.save."
        ) from err


class _Builder:
    """Makes the layers of one model, nested ones by another builder, and calls them.

    Attributes
    ----------
    model : tf.keras.Model
        The model.
    layers : list of (path, tf.keras.layers.Layer)
        All layers that are no models and no operations.
    entries : dict of {path: Entry}
        Their descriptions.
    outputs : dict of {str: symbolic tensor}
        Output of each layer that is called once.
    """

    def __init__(self, entry, prefix=(), root=None):
        self._entry, self._prefix, self._root = entry, prefix, root or entry.name
        self.layers, self.entries, self.outputs = [], {}, {}
        self._made, self._tensors = {}, {}
        tf = compat.import_tensorflow()
        described = [Entry(data, self._root, prefix) for data in entry.config["layers"]]
        make = self._sequential if entry.kind == "Sequential" else self._functional
        inputs, outputs = make(described)
        self.model = tf.keras.Model(inputs, outputs, name=entry.name, trainable=entry.config.get("trainable", True))

    def _sequential(self, described):
        if described and described[0].kind == "InputLayer":
            x = first = _input(described[0])
            described = described[1:]
        else:
            shape = self._entry.config.get("build_input_shape") or self._entry.build_config.get("input_shape")
            if shape is None:
                raise self._entry.error(
                    "the Sequential model does not know its input shape", "Begin it with keras.Input(shape)"
                )
            x = first = compat.import_tensorflow().keras.Input(shape[1:])
        for entry in described:
            x = self._call(entry, [x], {})
        return [first], [x]

    def _functional(self, described):
        by_name = {entry.name: entry for entry in described}
        waiting = []
        for entry in described:
            if entry.kind == "InputLayer":
                self._tensors[entry.name, 0, 0] = _input(entry)
            else:
                waiting += [(entry, number, *_arguments(entry, node)) for number, node in enumerate(entry.nodes)]
        self._first_node = _first_nodes(waiting, [self._entry.config[key] for key in ("input_layers", "output_layers")])
        while waiting:
            later = []
            for entry, number, args, kwargs in waiting:
                if all(self._key(ref) in self._tensors for ref in _references((args, kwargs))):
                    output = self._call(entry, self._resolve(entry, args), self._resolve(entry, kwargs))
                    for index, tensor in enumerate(compat.import_tensorflow().nest.flatten(output)):
                        self._tensors[entry.name, number, index] = tensor
                    if len(entry.nodes) > 1:
                        self.outputs.pop(entry.name, None)
                else:
                    later.append((entry, number, args, kwargs))
            if len(later) == len(waiting):
                raise later[0][0].error("it takes a tensor that no other layer makes")
            waiting = later
        ends = []
        for key in ("input_layers", "output_layers"):
            references = [_Reference(*ref) for ref in _triples(self._entry.config[key])]
            for ref in references:
                if self._key(ref) not in self._tensors:
                    raise by_name.get(ref.name, self._entry).error(f"the model's {key} name a tensor that is not there")
            ends.append([self._tensors[self._key(ref)] for ref in references])
        return ends

    def _key(self, reference):
        """Name an output with the calls of its layer counted from 0.

        Keras counts from 1 if the layer is a nested model, which was called once when it was made.
        """
        return reference.name, reference.node - self._first_node.get(reference.name, 0), reference.index

    def _resolve(self, entry, value):
        """Put tensors, arrays and slices in the place of their descriptions."""
        if isinstance(value, _Reference):
            return self._tensors[self._key(value)]
        if isinstance(value, (list, tuple)):
            return [self._resolve(entry, item) for item in value]
        if not isinstance(value, dict):
            return value
        if "class_name" not in value:
            return {key: self._resolve(entry, item) for key, item in value.items()}
        kind, config = value["class_name"], value.get("config")
        if kind == "__slice__":
            return slice(*(config[name] for name in ("start", "stop", "step")))
        if kind == "__ellipsis__":
            return Ellipsis
        if kind in ("__numpy__", "__tensor__"):
            return np.array(config["value"], config["dtype"])
        raise entry.error(f"expected tensors and numbers as arguments, got {kind!r}")

    def _call(self, entry, args, kwargs):
        if entry.is_operation:
            return apply_operation(entry, args, kwargs)
        # A nested model of several inputs is called with a mask for each, all of them None.
        given = compat.import_tensorflow().nest.flatten
        options = {name: value for name, value in kwargs.items() if any(part is not None for part in given(value))}
        if set(options) - {"training"}:
            raise entry.error(f"expected a call without options, got {sorted(options)}")
        layer = self._made.get(entry.name)
        if layer is None:
            layer = self._made[entry.name] = self._make(entry)
        output = layer(*args, **options)
        if not entry.is_model:
            self.outputs[entry.name] = output
        return output

    def _make(self, entry):
        if entry.is_model:
            nested = _Builder(entry, entry.path, self._root)
            self.layers += nested.layers
            self.entries.update(nested.entries)
            return nested.model
        layer = make_layer(entry)
        self.layers.append((entry.path, layer))
        self.entries[entry.path] = entry
        return layer


@dataclasses.dataclass(frozen=True)
class _Reference:
    """An output of a layer call, as a description names it."""

    name: str
    node: int
    index: int


def _input(entry):
    shape = entry.config.get("batch_shape") or entry.config.get("batch_input_shape")
    if shape is None:
        raise entry.error("expected a shape, got none", "Save the model with keras.Input(shape)")
    dtype = entry.config.get("dtype") or "float32"
    if isinstance(dtype, dict):
        dtype = dtype["config"]["name"]
    return compat.import_tensorflow().keras.Input(shape[1:], batch_size=shape[0], dtype=dtype, name=entry.name)


def _arguments(entry, node):
    """Return what a layer is called with, references in the place of tensors."""
    if isinstance(node, dict):
        return _referring(node["args"]), _referring(node["kwargs"])
    # Keras 2: a list of inputs, each with the options of the call.
    inputs = [_Reference(*part[:3]) for part in node]
    kwargs = node[0][3] if len(node[0]) > 3 else {}
    return [inputs[0] if len(inputs) == 1 and entry.kind not in _MERGING else inputs], kwargs


_MERGING = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract")


def _referring(value):
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return _Reference(*value["config"]["keras_history"])
        return {key: _referring(item) for key, item in value.items()}
    return [_referring(item) for item in value] if isinstance(value, (list, tuple)) else value


def _references(value):
    if isinstance(value, _Reference):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)


def _first_nodes(calls, ends):
    """Return the smallest number that a call of each layer is known by."""
    first = {}
    used = [ref for _, _, args, kwargs in calls for ref in _references((args, kwargs))]
    used += [_Reference(*ref) for end in ends for ref in _triples(end)]
    for ref in used:
        first[ref.name] = min(ref.node, first.get(ref.name, math.inf))
    return first


def _triples(value):
    """List the references in a nested structure of lists and dicts: name, number of the call, number of the output.

    Both versions of Keras number what is in a dict in the order of its keys, whatever the order in the file.
    """
    if isinstance(value, dict):
        return [triple for key in sorted(value) for triple in _triples(value[key])]
    if len(value) == 3 and isinstance(value[0], str):
        return [tuple(value)]
    return [triple for item in value for triple in _triples(item)]


def _set_weights(entry, layer, values):
    expected = [tuple(weight.shape) for weight in layer.weights]
    got = [np.shape(value) for value in values]
    if got != expected:
        raise entry.error(f"its weights do not fit; expected arrays of shapes {expected}, got {got}", "Save it again")
    layer.set_weights(values)
    if hasattr(layer, "finalize_state"):
        # A Normalization layer works with numbers that it makes of its weights.
        layer.finalize_state()
