"""How far a rebuilt model is from its source, where there is a Keras 3 to run the source."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import compat
from ...exceptions import UnsupportedModelError

__all__ = ["check_rebuilt"]

_N_IMAGES = 2
# For axes of any size.
_SIZE = 32
# Rounding gives about 1e-6, in half precision 1e-3; a wrong option or weight gives about 1.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 5e-2


def check_rebuilt(source: Any, model: Any, outputs: dict[str, Any]) -> Any:
    """Check that a rebuilt model gives what its source gives, layer by layer, on random images.

    Compared are the outputs of the model, and of every layer of its own that is called once.

    Parameters
    ----------
    source : keras.Model
        The model of Keras 3.
    model : tf.keras.Model
        The model that was made of it.
    outputs : dict of {str: symbolic tensor}
        Outputs of its layers by name.

    Returns
    -------
    float
        Largest difference, as a fraction of the largest output of the layer.

    Raises
    ------
    UnsupportedModelError
        If it is more than rounding; names the first layer that differs.
    """
    tf, keras = compat.import_tensorflow(), compat.import_keras3()
    images = [_images(tensor.shape, tensor.dtype, seed) for seed, tensor in enumerate(model.inputs)]
    theirs = {layer.name: layer.output for layer in source.layers if compat.is_called_once(layer)}
    names = [name for name in theirs if name in outputs]
    reference = keras.Model(source.inputs, [*(theirs[name] for name in names), *source.outputs])
    probe = tf.keras.Model(model.inputs, [*(outputs[name] for name in names), *model.outputs])
    expected = [keras.ops.convert_to_numpy(values) for values in _listed(reference(images, training=False))]
    got = [np.asarray(values) for values in _listed(probe(images, training=False))]
    largest = 0.0
    for name, values, wanted in zip([*names, *model.output_names], got, expected):
        wanted = wanted.astype(float)
        scale = np.abs(wanted).max(initial=0)
        difference = float(np.abs(values.astype(float) - wanted).max(initial=0) / (scale if scale > 0 else 1))
        allowed = _TOLERANCE if values.dtype.itemsize >= 4 and not _has_halves(source) else _HALF_TOLERANCE
        # Not "difference > allowed": NaN must fail.
        if not difference <= allowed:
            raise UnsupportedModelError(
                f"model {model.name!r}: from the layer {name!r} on, the model rebuilt with Keras 2 differs from that "
                f"of Keras 3 on random images; expected at most {allowed:g} of the largest output, got "
                f"{difference:.2g}. Build this part with tf.keras after importing nengo_cam.",
                layer=name,
            )
        largest = max(largest, difference)
    return largest


def _listed(values):
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _images(shape, dtype, seed):
    shape = [_N_IMAGES if axis == 0 else _SIZE if n is None else n for axis, n in enumerate(shape)]
    values = np.random.default_rng(seed).random(shape)
    name = getattr(dtype, "name", dtype)
    return (256 * values).astype(name) if "int" in name else values.astype(name)


def _has_halves(model):
    return any("16" in str(getattr(layer, "compute_dtype", "")) for layer in model.layers)
