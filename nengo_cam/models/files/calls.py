"""How often, and in which order, a description has layers called.

Keras calls whatever can be called until nothing is left, and so never ends if something never can be.
"""

from __future__ import annotations

from typing import Any

from ...exceptions import InputFileError
from .allowed import MODELS

__all__ = ["WRAPPED", "check_calls"]

#: Calls of layers in the whole model, and tensors that they are called with; a nested model that is called twice counts
#: twice.
_MAX_CALLS = 10_000
#: Calls that are tried in vain because what they need comes later in the file.
_MAX_TRIALS = 100_000
#: Options that hold a layer.
WRAPPED = ("backward_layer", "cell", "forward_layer", "layer")


def check_calls(subject: str, model: Any) -> None:
    """Check that a model can be put together, in no more steps than its size explains.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    model : dict
        The checked description of a model.

    Raises
    ------
    InputFileError
        If layers wait for each other or for what is not there, or if there are too many calls.
    """
    n_calls = _n_calls(model)
    if n_calls > _MAX_CALLS:
        raise InputFileError(
            f"{subject}: the model calls {n_calls if n_calls < 10**12 else 'more than 10^12'} layers; expected at most "
            f"{_MAX_CALLS}, got a description that unfolds to more. Pass --unsafe (unsafe=True) if you trust it."
        )
    _check_order(subject, model)


def _nested(data):
    config = data["config"]
    inner = [config[key] for key in WRAPPED if isinstance(config.get(key), dict)]
    inner += config["cells"] if isinstance(config.get("cells"), list) else []
    return inner + (config["layers"] if data["class_name"] in MODELS else [])


def _n_calls(data):
    """Count calls: those of a nested model when it is made, and again whenever it is called."""
    once = 1 + sum(map(_n_calls, _nested(data)))
    if data["class_name"] == "Sequential":
        # It is put together anew with each of its layers.
        once += len(data["config"]["layers"]) ** 2 // 10
    nodes = data.get("inbound_nodes")
    if not isinstance(nodes, list):
        return 2 * once
    return once * (1 + len(nodes)) + sum(len(list(_references(node, None))) for node in nodes)


def _references(value, names):
    """List what looks like a tensor, as Keras would take it: name of a layer, number of the call and of the output."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _references(item, names)
    elif isinstance(value, list):
        is_tensor = len(value) >= 3 and isinstance(value[0], str)
        if is_tensor and (names is None or value[0] in names):
            # What is no number is one that is never there.
            yield (value[0], *(n if type(n) is int else -1 for n in value[1:3]))
        for item in value:
            yield from _references(item, names)


def _check_order(subject, data):
    for layer in _nested(data):
        _check_order(subject, layer)
    if data["class_name"] not in MODELS or data["class_name"] == "Sequential":
        return
    layers = {_name(layer): layer for layer in data["config"]["layers"]}
    _check_names(subject, data["config"]["layers"], layers)
    # Keras 3 counts calls in another way, and what it has written is put together by a reader that ends.
    counts = not any(isinstance(node, dict) for layer in layers.values() for node in _nodes(layer))
    done = {name: _first(layer) if counts else 0 for name, layer in layers.items()}
    waiting = [(name, set(_references(node, layers))) for name, layer in layers.items() for node in _nodes(layer)]
    inputs = {name for name, layer in layers.items() if layer["class_name"] == "InputLayer"}
    n_trials = 0
    while waiting:
        later = []
        for name, needed in waiting:
            n_trials += 1
            ready = all(
                other in inputs or (_first(layers[other]) <= number < done[other] if counts else done[other] > 0)
                for other, number, _ in needed
            )
            if ready:
                done[name] += 1
            else:
                later.append((name, needed))
        if len(later) == len(waiting) or n_trials > _MAX_TRIALS:
            raise InputFileError(
                f"{subject}: its configuration is broken: the layer {str(later[0][0])[:60]!r} waits for a tensor that "
                "no layer makes before it; expected layers in their order. Save it with model.save."
            )
        waiting = later
    _check_outputs(subject, layers)


def _check_names(subject, listed, layers):
    """Check that every layer has one name, and no other layer has it: Keras looks them up by both."""
    own = [layer["config"].get("name") for layer in listed]
    shared = [layer["shared_object_id"] for layer in listed if layer.get("shared_object_id") is not None]
    differ = [str(name) for layer, name in zip(listed, own) if name is not None and str(name) != _name(layer)]
    if len(layers) < len(listed) or differ or len(set(map(str, shared))) < len(shared):
        raise InputFileError(
            f"{subject}: its configuration is broken: expected one name for each layer, got {len(listed)} layers of "
            f"{len(layers)} names{f', one also named {differ[0][:60]!r}' if differ else ''}. Save it with model.save."
        )


def _check_outputs(subject, layers):
    """Check numbers of outputs among the options of a call, where Keras waits for those that are not there."""
    for layer in layers.values():
        for node in _nodes(layer):
            for name, _, output in _references(_options(node), layers):
                if not 0 <= output < _n_outputs(layers[name]):
                    raise InputFileError(
                        f"{subject}: its configuration is broken: a call of {str(_name(layer))[:60]!r} takes output "
                        f"{output} of {name[:60]!r}, which has {_n_outputs(layers[name])}. Save it with model.save."
                    )


def _options(node):
    """Collect the options of a call: what follows name and two numbers."""
    if isinstance(node, list):
        if len(node) == 4 and isinstance(node[0], str) and isinstance(node[3], dict):
            return [node[3]]
        return [option for part in node for option in _options(part)]
    return []


def _n_outputs(layer):
    ends = layer["config"].get("output_layers") if layer["class_name"] in MODELS else None
    return len(ends) if isinstance(ends, (list, dict)) and ends else 1


def _first(layer):
    """Return the number of the first call: nested models have been called once when they were made."""
    if layer["class_name"] == "Sequential":
        first = layer["config"]["layers"][:1]
        return int(bool(first) and first[0]["class_name"] == "InputLayer")
    return int(layer["class_name"] in MODELS)


def _name(layer):
    name = layer.get("name", layer["config"].get("name"))
    return name if isinstance(name, str) else str(name)


def _nodes(layer):
    nodes = layer.get("inbound_nodes")
    return nodes if isinstance(nodes, list) else []
