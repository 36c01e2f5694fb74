"""Models in files that Keras 3 has written, read without it."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import pathlib
import tempfile
from typing import Any

from ... import compat
from ...exceptions import InputFileError
from .check import check_rebuilt
from .rebuild import Rebuilt, rebuild
from .weights import archive_weights, legacy_weights

__all__ = ["rebuild_file"]

logger = logging.getLogger(__name__)

#: Largest model that is run to be compared, as values that its layers make of one image.
_MAX_VALUES = 2**28
# For axes of any size.
_SIZE = 32


def rebuild_file(subject: str, description: dict, weights: Any, *, guard: Any = None) -> Rebuilt:
    """Rebuild the model in a file with Keras 2, and compare it with the file's if Keras 3 is installed.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    description : dict
        What the file says of the model. Keras 3, too, gets to see nothing else of it but the weights.
    weights : h5py.File
        The HDF5 file of Keras 3, or the one in a ``.keras`` archive of Keras 2.12 or later, open.
    guard : context manager, optional
        What the model is rebuilt in.

    Returns
    -------
    Rebuilt
        The model, and how far it is from its source, if that can be told.

    Raises
    ------
    InputFileError
        If the file is broken.
    UnsupportedModelError
        If something cannot be rebuilt; names the layer and its class. If the two differ by more than rounding.
    """
    is_legacy = "model_weights" in weights
    try:
        with guard or contextlib.nullcontext():
            find = legacy_weights(weights) if is_legacy else archive_weights(weights, description)
            model, outputs = rebuild(description, find)
    except (OSError, KeyError, IndexError, AttributeError) as err:
        raise InputFileError(
            f"{subject}: its description or its weights are incomplete ({type(err).__name__}: {err}); "
            "expected what model.save writes, got less. Save it again with model.save."
        ) from err
    rebuilt = _checked(description, weights, model, outputs)
    if rebuilt.unchecked is None:
        logger.info("Rebuilt model %r with Keras 2; largest difference %.1e", model.name, rebuilt.largest_difference)
    else:
        logger.warning("Rebuilt model %r with Keras 2; not compared with its source: %s", model.name, rebuilt.unchecked)
    return rebuilt


def _checked(description, weights, model, outputs):
    """Compare with the model that Keras 3 loads, where there is one."""
    keras = compat.import_keras3()
    if keras is None:
        return Rebuilt(model, None, "Keras 3 is not installed")
    if sum(map(_n_values, outputs.values())) > _MAX_VALUES:
        return Rebuilt(model, None, f"its layers make more than {_MAX_VALUES} values of one image")
    try:
        source = _loaded(keras, _with_zeros(description), weights)
    except Exception as err:
        # Keras raises whatever the layer at fault raises.
        return Rebuilt(model, None, f"Keras {keras.__version__} cannot load it ({type(err).__name__}: {err})")
    return Rebuilt(model, check_rebuilt(source, model, outputs))


def _n_values(tensor):
    return math.prod(_SIZE if n is None else n for n in tensor.shape[1:])


def _loaded(keras, description, weights):
    """Have Keras 3 load a model from its description and its weights."""
    if "model_weights" not in weights:
        source = keras.saving.deserialize_keras_object(description)
        source.load_weights(weights.filename)
        return source
    import h5py

    with tempfile.TemporaryDirectory(prefix="nengo_cam-") as folder:
        path = pathlib.Path(folder) / "model.h5"
        with h5py.File(path, "w") as file:
            weights.copy("model_weights", file)
            file.attrs["model_config"] = json.dumps(description)
        return keras.saving.load_model(path, compile=False)


def _with_zeros(value):
    """Replace initializers, which may take long and whose values are replaced by those of the file."""
    if isinstance(value, dict):
        return {
            key: "zeros" if key.endswith("_initializer") and item is not None else _with_zeros(item)
            for key, item in value.items()
        }
    return [_with_zeros(item) for item in value] if isinstance(value, list) else value
