"""Descriptions of models, taken apart and put together again from what is on the list."""

from __future__ import annotations

import re

from ...exceptions import InputFileError, UnsafeFileError
from . import allowed
from .calls import WRAPPED, check_calls

__all__ = ["check_configuration"]

_MAX_DEPTH = 100
#: Numbers and texts in the whole description. A photograph of means has 150,000.
_MAX_VALUES = 200_000
#: Keras's own forms of values that JSON lacks. They hold values, no names.
_VALUES = ("TensorShape", "__ellipsis__", "__keras_tensor__", "__slice__", "__tuple__")
_ARRAYS = ("__numpy__", "__tensor__")
_NUMBERS = re.compile(r"(b?float|u?int|complex)\d+|bool")
#: Keys that only descriptions of objects have.
_OBJECT_KEYS = {"__passive_serialization__", "class_name", "module", "registered_name"}
#: What of a layer's description Keras gets to see. Left out: how it was compiled, and what shapes it was built for,
#: which it learns from its inputs.
_LAYER_KEYS = ("module", "class_name", "registered_name", "name", "inbound_nodes", "shared_object_id")
_NAMED = {
    "initializer": allowed.INITIALIZERS,
    "regularizer": allowed.REGULARIZERS,
    "constraint": allowed.CONSTRAINTS,
}


def check_configuration(subject: str, description: dict, *, keras3: bool) -> None:
    """Check that building a model from its description runs nothing but Keras's own layers.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    description : dict
        What the file says of the model.
    keras3 : bool
        Whether Keras 3 has written it, whose functions have other names.

    Returns
    -------
    dict
        A copy of all that has been checked. What Keras does not need to build the model is left out.

    Raises
    ------
    InputFileError
        If it is no description of a model, too deep, or calls too many layers.
    UnsafeFileError
        If something in it is not on the list of what may be there; names it.
    """
    walk = _Walk(subject, keras3)
    checked = walk.model(description)
    if walk.problems:
        problems = sorted(walk.problems)
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UnsafeFileError(
            f"{subject}: it contains {' and '.join(problems[:5])}{more}, and loading it may run code from the file; "
            "expected Keras's own layers. Replace the layer, or pass --unsafe (unsafe=True) if you trust it.",
            problems=problems,
        )
    check_calls(subject, checked)
    return checked


class _Walk:
    """A walk through a description. It collects what is not allowed, and raises at what is broken."""

    def __init__(self, subject, keras3):
        self.problems = set()
        self._subject, self._keras3, self._depth, self._n_values = subject, keras3, 0, 0

    def broken(self, problem, got):
        """Make the error for what is no description."""
        return InputFileError(
            f"{self._subject}: its configuration is broken: expected {problem}, got {_shown(got)}. Save it with "
            "model.save.",
        )

    def refuse(self, problem):
        """Note what is not allowed."""
        self.problems.add(problem)

    def model(self, data):
        """Check the whole model."""
        self._object(data)
        if data["class_name"] not in allowed.MODELS:
            self._place(data, data["class_name"], "layer")
            self.refuse(f"a {_shown(data['class_name'])} in the place of a model")
            return data
        return self._layer(data)

    def _object(self, data):
        if not isinstance(data, dict):
            raise self.broken("an object that describes a layer", data)
        if not isinstance(data.get("class_name"), str):
            raise self.broken("the name of a class", data.get("class_name"))
        if not isinstance(data.get("config"), dict):
            raise self.broken(f"the options of the layer {_shown(data['class_name'])}", data.get("config"))

    def _place(self, data, name, role):
        """Check where a name is looked up: in Keras's own modules, and by no other name."""
        module, registered = data.get("module"), data.get("registered_name")
        if module is not None and not (isinstance(module, str) and allowed.MODULES[role].fullmatch(module)):
            self.refuse(f"an object of {_shown(module)}")
        if registered not in (None, name):
            self.refuse(f"an object registered as {_shown(registered)}")

    def _layer(self, data):
        self._object(data)
        self._enter()
        kind, config = data["class_name"], data["config"]
        is_model = kind in allowed.MODELS
        is_operation = self._keras3 and self._is_operation(data)
        if not is_operation:
            self._place(data, kind, "layer")
        if kind in allowed.FUNCTION_LAYERS and not self._keras3:
            function = config.get("function")
            if not isinstance(function, str) or function not in allowed.FUNCTIONS:
                self.refuse(f"the function {_shown(function)}")
        elif not is_model and not is_operation and kind not in allowed.LAYERS:
            self.refuse(f"a {_shown(kind)} layer")
        if config.get("unroll"):
            self.refuse(f"an unrolled {_shown(kind)} layer")
        checked = {key: self._plain(data[key]) for key in _LAYER_KEYS if key in data}
        if is_model:
            if not isinstance(config.get("layers"), list):
                raise self.broken(f"the layers of the model {_shown(kind)}", config.get("layers"))
            checked["config"] = {
                key: [self._layer(layer) for layer in value] if key == "layers" else self._option(key, value)
                for key, value in config.items()
            }
            if "build_config" in data:
                checked["build_config"] = self._plain(data["build_config"])
        else:
            checked["config"] = {key: self._option(key, value) for key, value in config.items()}
        self._depth -= 1
        return checked

    def _is_operation(self, data):
        """Tell whether this is a function of Keras 3, which `nengo_cam.models.keras3` applies or refuses."""
        module = data.get("module")
        if module is None:
            return data["class_name"] in allowed.OPERATIONS
        return isinstance(module, str) and allowed.OPERATIONS_MODULE.fullmatch(module) is not None

    def _option(self, key, value):
        """Check an option of a layer, by what Keras does with options of that name."""
        if key in WRAPPED:
            return None if value is None else self._layer(value)
        if key == "cells" and isinstance(value, list):
            return [self._layer(cell) for cell in value]
        if key == "activation" or key.endswith("_activation"):
            return self._activation(value)
        if key == "dtype":
            return self._policy(value)
        role = key.rpartition("_")[2]
        if role in _NAMED:
            return self._named(value, role)
        if key == "seed" and isinstance(value, dict) and value.get("class_name") == "SeedGenerator":
            return None
        return self._plain(value)

    def _activation(self, value):
        if isinstance(value, dict) and value.get("class_name") != "function":
            return self._layer(value)
        return self._function(value, "activation", allowed.ACTIVATIONS)

    def _function(self, value, role, names):
        """Check the name of a function, alone or in the form that newer versions of Keras write."""
        name = value
        if isinstance(value, dict):
            name = value.get("config")
            self._place(value, name, role)
        if name is not None and not (isinstance(name, str) and name in names):
            self.refuse(f"the {role} {_shown(name)}")
        return self._copied(value, {"config": name}) if isinstance(value, dict) else value

    def _named(self, value, role):
        """Check an initializer, a regularizer or a constraint."""
        if not isinstance(value, dict) or value.get("class_name") == "function":
            name = value.get("config") if isinstance(value, dict) else value
            names = {name} if isinstance(name, str) and _plain_name(name) in _NAMED[role] else ()
            return self._function(value, role, names)
        self._object(value)
        kind = value["class_name"]
        self._place(value, kind, role)
        if _plain_name(kind) not in _NAMED[role]:
            self.refuse(f"the {role} {_shown(kind)}")
        return self._copied(value, {"config": self._plain(value["config"])})

    def _policy(self, value):
        name = value
        if isinstance(value, dict):
            self._object(value)
            self._place(value, value["class_name"], "policy")
            if value["class_name"] not in allowed.POLICIES:
                self.refuse(f"the dtype policy {_shown(value['class_name'])}")
            name = value["config"].get("name")
            value = self._copied(value, {"config": self._plain(value["config"])})
        if name is not None and not (isinstance(name, str) and allowed.POLICY_NAMES.fullmatch(name)):
            self.refuse(f"the dtype policy {_shown(name)}")
        return value

    def _copied(self, data, changes):
        kept = {key: data[key] for key in ("module", "class_name", "registered_name") if key in data}
        return {**kept, **changes}

    def _plain(self, value):
        """Check that a value is made of numbers, text and lists, and means no object."""
        self._enter()
        self._n_values += 1
        if self._n_values > _MAX_VALUES:
            raise self.broken(f"at most {_MAX_VALUES} numbers and texts", "more")
        if isinstance(value, dict):
            checked = self._plain_object(value)
        elif isinstance(value, list):
            checked = [self._plain(item) for item in value]
        else:
            if value == "_COMPOSITE_TYPE":
                # Keras takes the text behind it for another description.
                self.refuse("a composite tensor")
            checked = value
        self._depth -= 1
        return checked

    def _plain_object(self, value):
        kind = value.get("class_name")
        if kind in _VALUES:
            return {key: self._plain(item) if key != "class_name" else kind for key, item in value.items()}
        if kind in _ARRAYS:
            config = value.get("config")
            if not isinstance(config, dict) or not _NUMBERS.fullmatch(str(config.get("dtype"))):
                raise self.broken("an array of numbers", config)
            return {"class_name": kind, "config": {key: self._plain(config.get(key)) for key in ("value", "dtype")}}
        if _OBJECT_KEYS & value.keys():
            module = value.get("module")
            self.refuse(f"an object {_shown(kind)}" + (f" of {_shown(module)}" if module is not None else ""))
        return {key: self._plain(item) for key, item in value.items()}

    def _enter(self):
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise InputFileError(
                f"{self._subject}: its configuration is nested too deeply; expected at most {_MAX_DEPTH} levels, got "
                "more. Save it with model.save."
            )


def _plain_name(name):
    return name.replace("_", "").lower()


def _shown(value):
    """Show what a file says, but not at any length."""
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
