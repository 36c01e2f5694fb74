"""Models of KerasSpiking, whose layers have an axis of time, rebuilt for a single frame.

KerasSpiking [1]_ gives every tensor an axis of time behind that of the batch, and wraps what knows nothing of time in
``TimeDistributed``. Nengo has time of its own. So the model is rebuilt for one frame, with the layers and weights that
it has: ``SpikingActivation`` becomes its activation, and ``Lowpass`` and ``Alpha`` become the identity, which they are
to input that stays (`spiking_forms`). Both remember what they stand for, and conversion makes neurons and filters of
them. Means over time are left out: a network has logits at every step.

References
----------
.. [1] KerasSpiking documentation, https://www.nengo.ai/keras-spiking/.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import compat
from ..exceptions import UnsupportedModelError
from .graph import FlatModel, LayerCall, fill_arguments, flatten

__all__ = [
    "SpikingForms",
    "frame_model",
    "has_spiking_forms",
    "is_keras_spiking",
    "spiking_forms",
    "time_step_of",
    "without_spikes",
]

_ADVICE = "Cut the model where it has logits at every step: tf.keras.Model(model.inputs, logits)."
# Layers that treat every frame alike whether or not there is an axis of time, as they work along the last axis or
# element by element, or take any number of axes in front.
_TIMELESS = {
    "Activation", "Add", "BatchNormalization", "Concatenate", "Conv1D", "Conv2D", "Dense",
    "DepthwiseConv2D", "Dropout", "LeakyReLU", "Maximum", "Minimum", "Multiply", "ReLU", "Rescaling", "Softmax",
    "Subtract", "Average", "Normalization", "GaussianNoise", "GaussianDropout", "AlphaDropout",
    "ActivityRegularization",
}  # fmt: skip
# Of these, what works along an axis, which has another number without the axis of time.
_ALONG_AN_AXIS = {"BatchNormalization", "Concatenate", "Normalization", "Softmax"}


def is_keras_spiking(model: Any) -> bool:
    """Tell whether a model has layers of KerasSpiking, itself or in a model nested in it.

    Parameters
    ----------
    model : tf.keras.Model
        Any model whose layers can be read.

    Returns
    -------
    bool
    """
    # KerasSpiking need not be installed for others: its layers are known by where they come from.
    return any(_is_own(layer) or (hasattr(layer, "layers") and is_keras_spiking(layer)) for layer in model.layers)


def _is_own(layer):
    return type(layer).__module__.split(".")[0] == "keras_spiking"


@dataclasses.dataclass(frozen=True)
class SpikingForms:
    """The two Keras layer classes that stand for layers of KerasSpiking.

    Attributes
    ----------
    activation : type
        An activation that spikes, with the options ``activation``, ``seed`` and ``dt``.
    filter : type
        A filter over time, with the options ``order`` (1 for Lowpass, 2 for Alpha), ``tau`` [s] and ``initial_level``,
        lists with a number for each element, or with one for all of them; and ``dt``.
    """

    activation: Any
    filter: Any


@functools.cache
def spiking_forms() -> SpikingForms:
    """Make the Keras layer classes, once, when first asked for."""
    tf = compat.import_tensorflow()
    layer_type: Any = tf.keras.layers.Layer

    # Keras looks them up by these names when it makes a pickled model again.
    @tf.keras.utils.register_keras_serializable(package="nengo_cam")
    class SpikingForm(layer_type):
        """Compute the activation that neurons fire at, in Hz."""

        def __init__(self, activation, seed=None, dt=0.001, **kwargs):
            super().__init__(**kwargs)
            self.activation = tf.keras.activations.get(activation)
            self.seed = seed
            self.dt = dt

        def call(self, inputs):
            return self.activation(inputs)

        def get_config(self):
            activation = tf.keras.activations.serialize(self.activation)
            return {**super().get_config(), "activation": activation, "seed": self.seed, "dt": self.dt}

    @tf.keras.utils.register_keras_serializable(package="nengo_cam")
    class FilterForm(layer_type):
        """Pass on what comes in, as a filter does with input that stays."""

        def __init__(self, order, tau, initial_level, dt=0.001, **kwargs):
            super().__init__(**kwargs)
            self.order = order
            self.tau = list(tau)
            self.initial_level = list(initial_level)
            self.dt = dt

        def call(self, inputs):
            return tf.identity(inputs)

        def get_config(self):
            own = {"order": self.order, "tau": self.tau, "initial_level": self.initial_level, "dt": self.dt}
            return {**super().get_config(), **own}

    for cls in (SpikingForm, FilterForm):
        # Found by `__getattr__`, so that pickles, which hold classes by name, find it too.
        cls.__qualname__ = cls.__name__
    return SpikingForms(SpikingForm, FilterForm)


def __getattr__(name):
    if name == "SpikingForm":
        return spiking_forms().activation
    if name == "FilterForm":
        return spiking_forms().filter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def has_spiking_forms(model: Any) -> bool:
    """Tell whether a model that `frame_model` made has activations that spike by themselves."""
    own: Any = spiking_forms().activation
    return any(isinstance(layer, own) for layer in model.layers)


def time_step_of(model: Any) -> float | None:
    """Tell which time step the layers of a model were made for.

    Parameters
    ----------
    model : tf.keras.Model
        A model, as `frame_model` makes it or any other.

    Returns
    -------
    float or None
        Time step of its first spiking activation or filter [s]; None if it has none.
    """
    own = spiking_forms()
    return next((layer.dt for layer in model.layers if isinstance(layer, (own.activation, own.filter))), None)


def frame_model(model: Any) -> Any:
    """Rebuild a model of KerasSpiking for one frame, with the same weights.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or Sequential, with one input of shape (steps, X, channels), (steps, Y, X, channels) or
        (steps, Z, Y, X, channels), and one output. Its layers are called again.

    Returns
    -------
    tf.keras.Model
        Takes input without the axis of time. Of the same name, its layers too.

    Raises
    ------
    UnsupportedModelError
        If a layer mixes steps in another way than ``SpikingActivation``, ``Lowpass``, ``Alpha`` and a mean over time
        do, has the time in front, or gives out its state; or if layers were made for different time steps.
    """
    frames = _rebuild(model, flatten(model), _FrameCalls(model.name), without_time=True)
    own = spiking_forms()
    steps = sorted({layer.dt for layer in frames.layers if isinstance(layer, (own.activation, own.filter))})
    if len(steps) > 1:
        raise UnsupportedModelError(
            f"model {model.name!r}: its spikes and filters were made for different time steps; expected one dt, got "
            f"{steps} s. A network has one: give all layers the same dt."
        )
    return frames


def without_spikes(model: Any) -> Any:
    """Replace the activations that spike by themselves in a model that `frame_model` made by plain ones.

    Parameters
    ----------
    model : tf.keras.Model
        What `frame_model` returned.

    Returns
    -------
    tf.keras.Model
        The same layers but these, and filters.
    """
    own, tf = spiking_forms(), compat.import_tensorflow()

    def plain(call, args, kwargs):
        if isinstance(call.layer, own.filter):
            return args[0]
        if isinstance(call.layer, own.activation):
            return tf.keras.layers.Activation(call.layer.activation, name=call.layer.name)(*args, **kwargs)
        return call.layer(*args, **kwargs)

    return _rebuild(model, flatten(model), plain, without_time=False)


def _rebuild(model: Any, flat: FlatModel, apply: Callable[[LayerCall, tuple, dict], Any], *, without_time: bool) -> Any:
    """Call all layers again, on an input of one frame."""
    tf = compat.import_tensorflow()
    if len(flat.input_shapes) != 1 or len(flat.outputs) != 1:
        raise UnsupportedModelError(
            f"model {flat.name!r}: expected one input and one output, got {len(flat.input_shapes)} and "
            f"{len(flat.outputs)}. Choose an output, and make a model of one input."
        )
    ((key, shape),) = flat.input_shapes.items()
    inputs = tf.keras.Input(shape[2 if without_time else 1 :], name=flat.input_names[key], dtype=model.inputs[0].dtype)
    values = {key: inputs}
    for call in flat.calls:
        args, kwargs = fill_arguments(call.args, call.kwargs, values)
        outputs = tf.nest.flatten(apply(call, args, kwargs))
        values.update(zip(call.outputs, outputs))
    return tf.keras.Model(inputs, values[flat.outputs[0]], name=flat.name)


class _FrameCalls:
    """Calls each layer on one frame instead of all."""

    def __init__(self, name: str) -> None:
        self._name = name
        # Tensors whose time was averaged or of which the last step was taken: without an axis of time in the model too.
        self._without_time: set = set()
        # What stands for a layer, by its identity: one that is called twice stays one layer, with one name.
        self._standing_in: dict[int, Any] = {}

    def __call__(self, call: LayerCall, args: tuple, kwargs: dict) -> Any:
        tf = compat.import_tensorflow()
        # What only training needs to know, and masks of steps, which a single frame has not.
        kwargs = {name: value for name, value in kwargs.items() if name not in ("mask", "initial_state", "constants")}
        if self._without_time & set(call.inputs):
            self._without_time.update(call.outputs)
            return call.layer(*args, **kwargs)
        if _is_own(call.layer):
            return self._of_keras_spiking(call)(args[0])
        if call.kind == "TimeDistributed":
            output = call.layer.layer(*args, **{k: v for k, v in kwargs.items() if k == "training"})
        elif call.kind == "Reshape":
            # Reshape((-1, Y, X, C)) of frames that come flat: the time is what is left over.
            if call.layer.target_shape[0] not in (-1, call.output_shapes[0][1]):
                raise self._refusal(call, f"reshapes time to {call.layer.target_shape}")
            output = tf.keras.layers.Reshape(call.layer.target_shape[1:], name=call.layer.name)(*args)
        elif call.kind.startswith("GlobalAveragePooling"):
            return self._mean_over_time(call, args[0])
        elif call.kind in _TIMELESS:
            output = self._called(call, args, kwargs)
        else:
            raise self._refusal(call, "may mix steps")
        expected = (None, *call.output_shapes[0][2:])
        # Of stateful layers the size of the batch is fixed, but not of frames.
        if (None, *output.shape[1:]) != expected:
            raise self._refusal(call, f"gives {tuple(output.shape)} for a frame instead of {expected}")
        return output

    def _called(self, call: LayerCall, args: tuple, kwargs: dict) -> Any:
        """Call a layer that treats every frame alike on a frame."""
        if call.kind in _ALONG_AN_AXIS:
            return self._along_last_axis(call, args, kwargs)
        try:
            return call.layer(*args, **kwargs)
        except ValueError as err:
            # A Conv2D of steps and places, such as this, has no frame of two axes to work on.
            raise self._refusal(call, "takes no single frame") from err

    def _along_last_axis(self, call: LayerCall, args: tuple, kwargs: dict) -> Any:
        """Call what works along an axis, if that is the last, on a frame, of which it has another number."""
        config = call.layer.get_config()
        axes = config["axis"] if isinstance(config["axis"], (list, tuple)) else [config["axis"]]
        if [axis % len(call.output_shapes[0]) for axis in axes if axis is not None] != [len(call.output_shapes[0]) - 1]:
            raise self._refusal(call, f"works along axis {config['axis']}, not along the channels")
        known = self._standing_in.get(id(call.layer))
        if known is not None:
            return known(*args, **kwargs)
        layer = type(call.layer).from_config({**config, "axis": -1})
        self._standing_in[id(call.layer)] = layer
        output = layer(*args, **kwargs)
        layer.set_weights(call.layer.get_weights())
        return output

    def _of_keras_spiking(self, call: LayerCall) -> Any:
        """Make the layer that stands for one of KerasSpiking, once."""
        if id(call.layer) not in self._standing_in:
            self._standing_in[id(call.layer)] = self._form_of(call)
        if not call.layer.return_sequences:
            # The last step: a network has all of them, and the last one is among them.
            self._without_time.update(call.outputs)
        return self._standing_in[id(call.layer)]

    def _form_of(self, call: LayerCall) -> Any:
        layer, forms = call.layer, spiking_forms()
        if layer.time_major or layer.return_state:
            option = "time_major" if layer.time_major else "return_state"
            raise self._refusal(call, f"has {option}=True")
        cell = layer.layer.cell
        if call.kind == "SpikingActivation":
            return forms.activation(layer.activation, seed=layer.seed, dt=float(layer.dt), name=layer.name)
        if call.kind not in ("Lowpass", "Alpha"):
            raise self._refusal(call, "is not known")
        tau, level = (np.ravel(values.numpy()).astype(float) for values in (cell.tau, cell.initial_level))
        # One number where all elements have the same, as before any training: the filter is then one of Nengo's.
        tau, level = (values[:1] if np.all(values == values[0]) else values for values in (tau, level))
        order = 1 if call.kind == "Lowpass" else 2
        return forms.filter(order, tau.tolist(), level.tolist(), dt=float(layer.dt), name=layer.name)

    def _mean_over_time(self, call: LayerCall, value: Any) -> Any:
        """Leave the mean over time out of a mean over all axes."""
        layers = compat.import_tensorflow().keras.layers
        n_axes = len(value.shape) - 2
        self._without_time.update(call.outputs)
        if getattr(call.layer, "data_format", "channels_last") != "channels_last" or getattr(
            call.layer, "keepdims", False
        ):
            raise self._refusal(call, "pools with channels first, or keeps its axes")
        if n_axes == 0:
            return value
        return getattr(layers, f"GlobalAveragePooling{n_axes}D")(name=call.layer.name)(value)

    def _refusal(self, call: LayerCall, problem: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"model {self._name!r}: {call.kind} {call.name!r} {problem}; expected layers that treat each step alike, "
            f"SpikingActivation, Lowpass, Alpha, and means over time, got {call.kind}. {_ADVICE}",
        )
