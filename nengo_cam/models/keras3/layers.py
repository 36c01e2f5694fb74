"""What a layer in the description of a model becomes in Keras 2."""

from __future__ import annotations

import re
from typing import Any

from ... import compat
from ...exceptions import UnsupportedModelError

__all__ = ["Entry", "make_layer"]

#: Layers that compute the same in both, given the same options and weights.
_SAME = re.compile(
    r"Activation|ActivityRegularization|Add|AlphaDropout|Average|BatchNormalization|CenterCrop|Concatenate|Dense|"
    r"Dropout|ELU|Flatten|GaussianDropout|GaussianNoise|GroupNormalization|LayerNormalization|LeakyReLU|Maximum|Minimum|"
    r"Multiply|Normalization|PReLU|Permute|ReLU|RepeatVector|Rescaling|Reshape|Resizing|Softmax|Subtract|"
    r"UnitNormalization|(Depthwise|Separable)Conv[12]D|Conv[123]D(Transpose)?|(Global)?(Average|Max)Pooling[123]D|"
    r"(Cropping|SpatialDropout|UpSampling|ZeroPadding)[123]D"
)
#: Layers that pass their input on at inference; Keras 2 lacks most of them.
_IDENTITIES = re.compile(
    r"AugMix|CutMix|Identity|MixUp|RandAugment|Random(Brightness|ColorDegeneration|ColorJitter|Contrast|"
    r"ElasticTransform|Erasing|Flip|GaussianBlur|Grayscale|Hue|Invert|Perspective|Posterization|Rotation|Saturation|"
    r"Sharpness|Shear|Translation|Zoom)"
)
_ACTIVATIONS = (
    *("elu", "exponential", "gelu", "linear", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign"),
    *("swish", "tanh"),
)
_OTHER_NAMES = {"silu": "swish"}
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
#: Options that only training, or how an array is stored, depends on.
_LEFT_OUT = re.compile(
    r".*_(initializer|regularizer|constraint)|seed|noise_shape|synchronized|renorm_clipping|renorm_momentum|fill_mode|"
    r"fill_value|kernel_quantizer|lora_alpha"
)
#: Options that Keras 2 lacks, with the values at which they change nothing.
_WITHOUT_EFFECT = {
    "adjustment": (None,),
    "antialias": (False,),
    "data_format of Resizing": (None, "channels_last"),
    "data_format of CenterCrop": (None, "channels_last"),
    "data_format of ZeroPadding1D": (None, "channels_last"),
    "lora_rank": (None,),
    "pad_to_aspect_ratio": (False,),
    "quantization_config": (None,),
    "quantization_mode": (None,),
    "renorm": (False,),
    "rms_scaling": (False,),
    "virtual_batch_size": (None,),
}
_POLICIES = re.compile(r"float(16|32|64)|bfloat16|mixed_(bfloat16|float16)")


class Entry:
    """One layer or operation in the description of a model.

    Parameters
    ----------
    data : dict
        What Keras has written about it.
    model : str
        Name of the model as a whole, for errors.
    path : tuple of str
        Names of the nested models that it is in.

    Attributes
    ----------
    kind, name : str
        Its class and its name.
    config : dict
        Its options.
    module : str
        Module of its class, empty in HDF5 files.
    path : tuple of str
        Names of the nested models that it is in, and its own.
    """

    def __init__(self, data: dict, model: str | None, path: tuple = ()):
        self.kind = data["class_name"]
        self.config = data["config"]
        self.name = data.get("name") or self.config["name"]
        self.module = data.get("module") or ""
        self.nodes = data.get("inbound_nodes", [])
        self.build_config = data.get("build_config") or {}
        self.path = (*path, self.name)
        self._model = model
        self._registered = data.get("registered_name")

    @property
    def is_model(self) -> bool:
        """Whether it is a model in the model."""
        return self.is_keras and self.kind in ("Functional", "Sequential") and "layers" in self.config

    @property
    def is_operation(self) -> bool:
        """Whether it is a function such as ``x + y`` and no layer; the two may bear the same name."""
        is_layer = self.module or {"trainable", "dtype", "layers"} & set(self.config)
        return self.module.startswith("keras.src.ops") or not is_layer

    @property
    def is_keras(self) -> bool:
        """Whether its class is one of Keras's own."""
        return self.module.split(".")[0] in ("", "keras", "tf_keras") and ">" not in (self._registered or "")

    def error(
        self, problem: str, remedy: str = "Replace it, or build the model with tf.keras after importing nengo_cam"
    ) -> UnsupportedModelError:
        """Make an error that names the layer and its class."""
        kind = self.kind if self.is_keras else f"{self.module}.{self.kind}".lstrip(".")
        where = "/".join(self.path)
        return UnsupportedModelError(
            f"model {self._model!r}: the layer {where!r} ({kind}) cannot be rebuilt with the Keras 2 that NengoDL "
            f"needs: {problem}. {remedy}.",
            layer=where,
            kind=kind,
        )


def make_layer(entry: Entry) -> Any:
    """Make the Keras 2 layer that computes at inference what a layer of Keras 3 computes.

    What only training depends on (initializers, regularizers, constraints, seeds) is left out.

    Parameters
    ----------
    entry : Entry
        The layer's description; one of Keras 2 does as well.

    Returns
    -------
    tf.keras.layers.Layer
        The layer, without its weights.

    Raises
    ------
    UnsupportedModelError
        If Keras 2 has no such layer, or not with these options; if it is not a layer of Keras's own; if it carries code
        (Lambda).
    """
    layers = compat.import_tensorflow().keras.layers
    common = {
        "name": entry.name,
        "dtype": _policy(entry),
        "trainable": bool(entry.config.get("trainable", True)),
    }
    if not entry.is_keras:
        raise entry.error("expected a layer of Keras's own, got another class")
    if _IDENTITIES.fullmatch(entry.kind):
        return layers.Activation("linear", **common)
    if entry.kind == "Lambda":
        raise entry.error("expected a layer that is described by options, got Python code")
    layer_type = getattr(layers, entry.kind, None) if _SAME.fullmatch(entry.kind) else None
    if layer_type is None:
        raise entry.error("expected a layer that computes the same in Keras 2, got one that is not known to")
    options = _options(entry)
    try:
        return layer_type(**options, **common)
    except (TypeError, ValueError) as err:
        raise entry.error(f"Keras 2 does not take its options ({err})") from err


def _options(entry):
    """Translate the options of a layer."""
    options = {}
    for option, value in entry.config.items():
        allowed = _WITHOUT_EFFECT.get(f"{option} of {entry.kind}", _WITHOUT_EFFECT.get(option))
        if allowed is not None and value not in allowed:
            raise entry.error(f"expected {option}={allowed[0]!r}, got {value!r}")
        if allowed is not None or option in ("name", "trainable", "dtype") or _LEFT_OUT.fullmatch(option):
            continue
        if option.endswith("activation"):
            value = _activation(entry, value)
        options[_RENAMED.get((entry.kind, option), option)] = _plain(entry, value)
    return options


def _plain(entry, value):
    """Return numbers and text as they are, arrays as nested lists."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__numpy__", "__tensor__"):
            return value["config"]["value"]
        raise entry.error(f"expected numbers and text as options, got {value.get('class_name')!r}")
    return [_plain(entry, item) for item in value] if isinstance(value, (list, tuple)) else value


def _activation(entry, value):
    """Return an activation that is the same function in both."""
    tf = compat.import_tensorflow()
    if isinstance(value, dict):
        is_own = (value.get("module") or "builtins").split(".")[0] in ("builtins", "keras", "tf_keras")
        value = value["config"] if is_own and isinstance(value.get("config"), str) else value.get("class_name")
    value = _OTHER_NAMES.get(value, value)
    if value in ("relu6", "leaky_relu"):
        return getattr(tf.nn, value)
    if value is not None and value not in _ACTIVATIONS:
        raise entry.error(
            f"expected an activation that is the same function in Keras 2, one of {list(_ACTIVATIONS)}, got {value!r}"
        )
    return value


def _policy(entry):
    """Return the name of the dtype policy."""
    policy = entry.config.get("dtype") or "float32"
    name = policy["config"].get("name") if isinstance(policy, dict) else policy
    if not isinstance(name, str) or not _POLICIES.fullmatch(name):
        raise entry.error(f"expected floating-point numbers, got the dtype policy {name or policy!r}")
    return name
