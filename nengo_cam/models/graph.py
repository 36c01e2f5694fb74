"""A Keras model as a flat list of layer calls, nested models opened.

Head search and simplification both ask "what feeds this?" and "what does this feed?". `flatten` answers once: every
tensor gets a number, every call of a layer says which numbers it takes and gives.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from .. import compat
from ..exceptions import ModelTypeError
from .operator_layers import as_layer

__all__ = [
    "FlatModel",
    "LayerCall",
    "Ref",
    "check_model",
    "fill_arguments",
    "flatten",
    "inference_arguments",
    "run_calls",
]


@dataclasses.dataclass(frozen=True)
class Ref:
    """Stands for a symbolic tensor in the arguments of a layer call."""

    key: Hashable


@dataclasses.dataclass(frozen=True)
class LayerCall:
    """One call of one layer.

    Attributes
    ----------
    layer : tf.keras.layers.Layer
        The layer of the source model, or in place of an operator the layer that does the same.
    name : str
        Its name, with the names of the models around it in front where it would not be unique.
    args, kwargs
        Arguments of the call, a `Ref` in place of each symbolic tensor. ``training`` comes from the call of the nested
        model if the layer's own call does not say.
    inputs, outputs : tuple of hashable
        Keys of the tensors that go in and come out.
    output_shapes : tuple of tuple
        Shape of each output, batch axis first.
    path : tuple of (tf.keras.layers.Layer, int)
        Where the call stands in the source model: the nested models around it, the outermost first, and the layer
        itself, each with the number of its call among all calls that Keras knows of it. Empty in a model made here.
    """

    layer: Any
    name: str
    args: tuple
    kwargs: dict
    inputs: tuple
    outputs: tuple
    output_shapes: tuple
    path: tuple = ()

    @property
    def kind(self) -> str:
        """Class name of the layer."""
        return type(self.layer).__name__


@dataclasses.dataclass(frozen=True)
class FlatModel:
    """All layer calls of a model in the order in which they run.

    Attributes
    ----------
    name : str
        Name of the model.
    input_shapes : dict of {hashable: tuple}
        Shape of each input tensor by its key, batch axis first.
    input_names : dict of {hashable: str}
        Name of each input by its key.
    calls : tuple of LayerCall
        The calls, inputs not among them.
    outputs : tuple of hashable
        Keys of the model's outputs.
    """

    name: str
    input_shapes: dict
    input_names: dict
    calls: tuple
    outputs: tuple

    @functools.cached_property
    def call_names(self) -> tuple[str, ...]:
        """Name of each call: that of the layer, and from its second call on which one, as in ``"conv.1"``."""
        counts: collections.Counter[str] = collections.Counter()
        names = []
        for call in self.calls:
            names.append(f"{call.name}.{counts[call.name]}" if counts[call.name] else call.name)
            counts[call.name] += 1
        return tuple(names)

    def producer(self, key: Hashable) -> LayerCall | None:
        """Return the call that makes a tensor, or None for an input of the model."""
        return self._producers.get(key)

    @functools.cached_property
    def _producers(self):
        return {key: call for call in self.calls for key in call.outputs}

    def shape(self, key: Hashable) -> tuple:
        """Return the shape of a tensor, batch axis first."""
        call = self.producer(key)
        return self.input_shapes[key] if call is None else call.output_shapes[call.outputs.index(key)]


def run_calls(
    flat: FlatModel, images: Any, apply: Callable[[int, LayerCall, tuple, dict], Any]
) -> Iterator[tuple[LayerCall, list]]:
    """Run a model one layer call after the other.

    Parameters
    ----------
    flat : FlatModel
        The model, with one input.
    images : tensor
        What goes in.
    apply : callable
        Gets the number of the call, the call, and its arguments with values in place of each `Ref`; returns the output.

    Yields
    ------
    call : LayerCall
        The call.
    outputs : list of tensor
        What came out. It is forgotten once no call needs it any more.
    """
    tf = compat.import_tensorflow()
    ((input_key, _),) = flat.input_shapes.items()
    last_use = {key: number for number, call in enumerate(flat.calls) for key in call.inputs}
    values = {input_key: images}
    for number, call in enumerate(flat.calls):
        args, kwargs = fill_arguments(call.args, call.kwargs, values)
        outputs = tf.nest.flatten(apply(number, call, args, kwargs))
        values.update(zip(call.outputs, outputs))
        yield call, outputs
        for key in {*call.inputs, *call.outputs}:
            # What nothing reads is not kept either.
            if last_use.get(key, -1) <= number:
                values.pop(key, None)


def fill_arguments(args: tuple, kwargs: dict, values: Mapping[Hashable, Any]) -> tuple[tuple, dict]:
    """Put values by key in the place of each `Ref` in the arguments of a call."""
    nest = compat.import_tensorflow().nest
    return nest.map_structure(lambda value: values[value.key] if isinstance(value, Ref) else value, (args, kwargs))


def inference_arguments(layer: Any, kwargs: dict) -> dict:
    """Add ``training=False`` to the arguments of a call, if the layer knows that one and nothing else is said."""
    if kwargs.get("training") is None and "training" in inspect.signature(layer.call).parameters:
        return {**kwargs, "training": False}
    return kwargs


def check_model(model: Any) -> None:
    """Check that ``model`` is a Keras model with a graph of layers.

    Parameters
    ----------
    model : object
        Whatever the user gave.

    Raises
    ------
    ModelTypeError
        If it is something else, a subclassed model or a Sequential model that is not built.
    """
    tf = compat.import_tensorflow()
    if not isinstance(model, tf.keras.Model):
        raise ModelTypeError(
            f"model: expected a tf.keras.Model, got {type(model).__module__}.{type(model).__name__}. "
            "Pass the Keras model itself."
        )
    if compat.is_functional(model):
        return
    if isinstance(model, tf.keras.Sequential):
        raise ModelTypeError(
            f"model {model.name!r}: the Sequential model does not know its input shape; expected a built model, got "
            "one without inputs. Begin it with tf.keras.Input(shape)."
        )
    raise ModelTypeError(
        f"model {model.name!r}: its layers cannot be read; expected a Functional or Sequential model, got the "
        f"subclassed model {type(model).__name__}. Build it with the functional API."
    )


def flatten(model: Any) -> FlatModel:
    """List the layer calls of a model, those of nested models in place of the nested model.

    Operators and functions such as ``x + y`` are listed as the Keras layer that does the same, if there is one.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or built Sequential model of Keras 2; `nengo_cam.models.source.read_model` takes others too.

    Returns
    -------
    FlatModel
        The calls.

    Raises
    ------
    ModelTypeError
        If ``model`` is not such a model, see `check_model`.
    """
    check_model(model)
    tracer = _Tracer()
    inputs = {tracer.new_key(): tensor for tensor in model.inputs}
    outputs = tracer.trace(model, list(inputs), scope=())
    return FlatModel(
        name=model.name,
        input_shapes={key: tuple(tensor.shape) for key, tensor in inputs.items()},
        input_names={key: compat.tensor_origin(tensor)[0].name for key, tensor in inputs.items()},
        calls=tuple(tracer.calls),
        outputs=tuple(outputs),
    )


class _Tracer:
    """Walks through a model and the models nested in it, numbering tensors."""

    def __init__(self):
        self.calls = []
        self._layer_of_name = {}
        self._n_keys = 0

    def new_key(self):
        self._n_keys += 1
        return self._n_keys - 1

    def trace(self, model, input_keys, scope, training=None, around=()):
        """Append the calls of ``model``, fed by the tensors ``input_keys``; return the keys of its outputs."""
        tf = compat.import_tensorflow()
        keys = {compat.tensor_key(tensor): key for tensor, key in zip(model.inputs, input_keys)}
        for node in compat.model_nodes(model):
            outputs = tf.nest.flatten(node.outputs)
            # A model nested in two places lists the calls of both; those that were followed already are known.
            if node.is_input or all(compat.tensor_key(tensor) in keys for tensor in outputs):
                continue
            path = (*around, compat.tensor_origin(outputs[0]))
            layer, given = as_layer(node)
            call = (tuple(node.call_args), dict(node.call_kwargs)) if layer is None else ((given,), {})
            args, kwargs = tf.nest.map_structure(
                lambda value: Ref(keys[compat.tensor_key(value)]) if compat.is_symbolic(value) else value, call
            )
            # A nested model that is called with training=True passes that on to the layers in it.
            if training:
                kwargs.setdefault("training", training)
            inputs = [leaf.key for leaf in tf.nest.flatten((args, kwargs)) if isinstance(leaf, Ref)]
            if compat.is_functional(node.layer):
                output_keys = self.trace(
                    node.layer, inputs, (*scope, node.layer.name), kwargs.get("training") or training, path
                )
            else:
                output_keys = [self.new_key() for _ in outputs]
                shapes = tuple(tuple(tensor.shape) for tensor in outputs)
                name = self._unique_name(node.layer, scope)
                layer = node.layer if layer is None else layer
                keys_in, keys_out = tuple(inputs), tuple(output_keys)
                self.calls.append(LayerCall(layer, name, args, kwargs, keys_in, keys_out, shapes, path))
            keys.update(zip(map(compat.tensor_key, outputs), output_keys))
        return [keys[compat.tensor_key(tensor)] for tensor in model.outputs]

    def _unique_name(self, layer, scope):
        """Name a layer; two layers of two models may bear the same name, one layer called twice keeps its own."""
        # As few names of models in front as make it unique: reports and firing-rate scales go by it.
        for depth in range(len(scope) + 1):
            name = "_".join((*scope[len(scope) - depth :], layer.name))
            if self._layer_of_name.setdefault(name, layer) is layer:
                return name
        suffix = 2
        while self._layer_of_name.setdefault(f"{name}_{suffix}", layer) is not layer:
            suffix += 1
        return f"{name}_{suffix}"
