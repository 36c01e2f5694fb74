"""A model as a list of steps that can be rewritten before any layer is made.

A step has what a layer call has, but its configuration and weights in place of a layer. Passes map a list of steps to
another that gives the same; `build` makes the Keras model.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np

from ... import compat
from ...exceptions import UnsupportedModelError
from ..affine import Affine, affine_of
from ..graph import FlatModel, LayerCall, Ref, fill_arguments

__all__ = ["Step", "Steps", "build", "flat_model", "step_of"]

# They act in training only, and NengoDL refuses to convert layers that have them.
_TRAINING_ONLY_OPTIONS = (
    "activity_regularizer",
    "beta_regularizer",
    "bias_constraint",
    "bias_regularizer",
    "depthwise_constraint",
    "depthwise_regularizer",
    "gamma_regularizer",
    "kernel_constraint",
    "kernel_regularizer",
    "pointwise_constraint",
    "pointwise_regularizer",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One call of one layer that is yet to be made.

    Attributes
    ----------
    layer_type : type
        Class of the layer.
    config : dict
        Its configuration. Steps with the same name are calls of one layer, and have the same weights.
    weights : tuple of ndarray
        Its weights, in Keras's order.
    args, kwargs
        Arguments of the call, a `nengo_cam.models.graph.Ref` in place of each symbolic tensor.
    outputs : tuple
        Keys of the tensors that come out.
    shapes : tuple of tuple
        Their shapes, batch axis first.
    calls : tuple of int
        Numbers of the layer calls of the source model whose work it does, that which it stands for first.
    trainable : bool
        Whether the layer is to be trainable.
    affine : Affine or None
        What it computes, if that is a factor and an offset for each channel and nothing else.
    """

    layer_type: Any
    config: dict
    weights: tuple
    args: tuple
    kwargs: dict
    outputs: tuple
    shapes: tuple
    calls: tuple
    trainable: bool = True
    affine: Any = None

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.config["name"]

    @property
    def kind(self) -> str | None:
        """Class name of the layer if it is Keras's own, otherwise None: a class derived from it may do anything."""
        return self.layer_type.__name__ if compat.is_keras_layer(self.layer_type) else None

    @property
    def inputs(self) -> tuple:
        """Keys of the tensors that go in."""
        leaves = compat.import_tensorflow().nest.flatten((self.args, self.kwargs))
        return tuple(leaf.key for leaf in leaves if isinstance(leaf, Ref))

    @property
    def output(self) -> Hashable:
        """Key of the first tensor that comes out."""
        return self.outputs[0]

    @property
    def shape(self) -> tuple:
        """Shape of the first tensor that comes out, batch axis first."""
        return self.shapes[0]

    @property
    def is_plain(self) -> bool:
        """Whether one tensor goes in, one comes out, and nothing else is said."""
        return len(self.args) == 1 and isinstance(self.args[0], Ref) and not self.kwargs and len(self.outputs) == 1

    def replace(self, **changes: Any) -> Step:
        """Return a step with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def configured(self, **options: Any) -> Step:
        """Return a step with some options of the layer changed."""
        return self.replace(config={**self.config, **options})

    def fed_by(self, keys: dict) -> Step:
        """Return a step with other inputs, by the keys of those that it has."""
        tf = compat.import_tensorflow()
        args, kwargs = tf.nest.map_structure(
            lambda value: Ref(keys.get(value.key, value.key)) if isinstance(value, Ref) else value,
            (self.args, self.kwargs),
        )
        return self.replace(args=args, kwargs=kwargs)

    def scaling(self, affine: Affine, calls: tuple[int, ...] = ()) -> Step:
        """Return a step in the place of this one that multiplies by factors and adds offsets, in native form."""
        config, weights = affine.normalization(self.name)
        config["dtype"] = self.config.get("dtype")
        layer_type = compat.import_tensorflow().keras.layers.BatchNormalization
        return self.replace(
            layer_type=layer_type,
            config=config,
            weights=weights,
            calls=(*self.calls, *calls),
            trainable=False,
            affine=affine,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """Steps in the order in which they run.

    Attributes
    ----------
    steps : tuple of Step
        The steps.
    input_shapes : dict
        Shapes of the inputs by key, batch axis first.
    result : hashable
        Key of the tensor that all this is about.
    reserved : frozenset of str
        Names of layers that are called elsewhere too, and so must stay as they are.
    """

    steps: tuple
    input_shapes: dict
    result: Any
    reserved: frozenset = frozenset()

    def __iter__(self):
        return iter(self.steps)

    def replaced(self, steps: Iterable[Step], aliases: dict | None = None) -> Steps:
        """Return other steps with the same inputs, what is left out given by the key of what takes its place.

        Steps that the result does not need are left out.
        """
        aliases = {} if aliases is None else aliases

        def resolve(key):
            while key in aliases:
                key = aliases[key]
            return key

        needed, kept = {resolve(self.result)}, []
        # From the result upwards, so that a step is kept only if something that is kept reads it.
        for step in reversed(list(steps)):
            if needed.intersection(step.outputs):
                inputs = {key: resolve(key) for key in step.inputs}
                kept.append(step if all(key == new for key, new in inputs.items()) else step.fed_by(inputs))
                needed.update(inputs.values())
        return dataclasses.replace(self, steps=tuple(reversed(kept)), result=resolve(self.result))

    def shapes(self) -> dict:
        """Return the shapes of all tensors by key."""
        shapes = dict(self.input_shapes)
        for step in self.steps:
            shapes.update(zip(step.outputs, step.shapes))
        return shapes

    def consumers(self) -> dict:
        """Return the steps that each tensor goes into by key; the result goes into a None besides."""
        consumers = collections.defaultdict(list, {self.result: [None]})
        for step in self.steps:
            for key in step.inputs:
                consumers[key].append(step)
        return consumers

    def shared(self) -> frozenset[str]:
        """Return the names of the layers that are called more than once."""
        counts = collections.Counter(step.name for step in self.steps)
        return self.reserved.union(name for name, n in counts.items() if n > 1)


def step_of(flat: FlatModel, number: int, name: str, *, linear: bool = False) -> Step:
    """Make a step of a layer call, without what only training needs.

    Parameters
    ----------
    flat : nengo_cam.models.graph.FlatModel
        The model.
    number : int
        Number of the call.
    name : str
        Name of the layer to be.
    linear : bool
        Whether its activation is left out.

    Returns
    -------
    Step

    Raises
    ------
    UnsupportedModelError
        If the layer has no configuration, or is a Normalization with statistics that are not by channel.
    """
    call = flat.calls[number]
    try:
        config = dict(call.layer.get_config(), name=name)
    except Exception as err:
        # It is the layer author's code and may raise anything.
        raise _cannot_be_made(flat.name, call.kind, name, err) from err
    config.update({option: None for option in _TRAINING_ONLY_OPTIONS if option in config})
    if linear:
        config["activation"] = "linear"
    step = Step(
        layer_type=type(call.layer),
        config=config,
        weights=tuple(call.layer.get_weights()),
        args=call.args,
        kwargs={key: value for key, value in call.kwargs.items() if key != "training" and value is not None},
        outputs=call.outputs,
        shapes=call.output_shapes,
        calls=(number,),
        trainable=call.layer.trainable and "BatchNormalization" not in call.kind,
    )
    if not step.is_plain:
        return step
    affine = affine_of(call.layer, flat.shape(call.inputs[0]))
    if affine is None and step.kind == "Normalization" and step.weights:
        raise UnsupportedModelError(
            f"model {flat.name!r}: Normalization {call.name!r} was adapted to more than channels; expected axis=-1 or "
            f"None, got {tuple(call.layer.axis)}. Normalize the images yourself and begin the model after that layer."
        )
    if affine is not None and step.kind != "BatchNormalization":
        # NengoDL has no native form of the others.
        return step.scaling(affine)
    return step.replace(affine=affine)


def build(name: str, inputs: dict, steps: Iterable[Step], result: Hashable) -> tuple[Any, dict, dict[str, Any]]:
    """Make the Keras model.

    Parameters
    ----------
    name : str
        Name of the model.
    inputs : dict
        Shape, batch axis first, and name of each input by key.
    steps : iterable of Step
        The steps.
    result : hashable
        Key of the output.

    Returns
    -------
    model : tf.keras.Model
        From the inputs to the output.
    tensors : dict
        Its symbolic tensors by key.
    layers : dict of {str: tf.keras.layers.Layer}
        Its layers by name, inputs not among them.

    Raises
    ------
    UnsupportedModelError
        If a layer cannot be made from its configuration.
    """
    tf = compat.import_tensorflow()
    tensors = {key: tf.keras.Input(batch_shape=shape, name=name) for key, (shape, name) in inputs.items()}
    model_inputs, layers = list(tensors.values()), {}
    for step in steps:
        is_new = step.name not in layers
        if is_new:
            try:
                layers[step.name] = step.layer_type.from_config(dict(step.config))
            except Exception as err:
                # It is the layer author's code and may raise anything.
                raise _cannot_be_made(name, step.layer_type.__name__, step.name, err) from err
            layers[step.name].trainable = step.trainable
            # The author's `get_config` may leave the name out.
            if layers[step.name].name != step.name:
                compat.name_layer(layers[step.name], step.name)
        args, kwargs = fill_arguments(step.args, step.kwargs, tensors)
        outputs = tf.nest.flatten(layers[step.name](*args, **kwargs))
        if is_new:
            layers[step.name].set_weights([np.asarray(weight) for weight in step.weights])
        tensors.update(zip(step.outputs, outputs))
    return tf.keras.Model(model_inputs, tensors[result], name=name), tensors, layers


def flat_model(name: str, inputs: dict, steps: Iterable[Step], result: Hashable, layers: dict[str, Any]) -> FlatModel:
    """List the layer calls of a model that was made of steps, as `nengo_cam.models.graph.flatten` would.

    Parameters
    ----------
    name, inputs, steps, result
        As for `build`.
    layers : dict of {str: tf.keras.layers.Layer}
        The layers that `build` made.

    Returns
    -------
    FlatModel
        The calls, by the keys of the steps.
    """
    calls = (
        LayerCall(layers[step.name], step.name, step.args, step.kwargs, step.inputs, step.outputs, step.shapes)
        for step in steps
    )
    return FlatModel(
        name=name,
        input_shapes={key: tuple(shape) for key, (shape, _) in inputs.items()},
        input_names={key: name for key, (_, name) in inputs.items()},
        calls=tuple(calls),
        outputs=(result,),
    )


def _cannot_be_made(model, kind, name, err):
    return UnsupportedModelError(
        f"model {model!r}: the {kind} layer {name!r} cannot be made again from its configuration ({err}); expected "
        f"from_config(get_config()) to work, got {type(err).__name__}. Implement get_config."
    )
