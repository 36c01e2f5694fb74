"""Keras 3 models in memory."""

from __future__ import annotations

import json
import logging
from typing import Any

from ... import compat
from ...exceptions import ModelTypeError, UnsupportedModelError
from .check import check_rebuilt
from .rebuild import Rebuilt, rebuild
from .weights import live_weights

__all__ = ["as_keras2", "rebuild_live"]

logger = logging.getLogger(__name__)


def as_keras2(model: Any) -> Any:
    """Return a model of Keras 3 rebuilt with Keras 2, and everything else as it is.

    Parameters
    ----------
    model : object
        Whatever the user gave.

    Returns
    -------
    object
        A tf.keras.Model in the place of a Keras 3 model, see `rebuild_live`.

    Raises
    ------
    ModelTypeError, UnsupportedModelError
        As `rebuild_live`.
    """
    return rebuild_live(model).model if compat.is_keras3_model(model) else model


def rebuild_live(model: Any) -> Rebuilt:
    """Rebuild a model of Keras 3 with Keras 2, copy its weights, and compare the two on random images.

    Parameters
    ----------
    model : keras.Model
        Functional or built Sequential model of Keras 3. It is not changed.

    Returns
    -------
    Rebuilt
        The model and how far it is from its source.

    Raises
    ------
    ModelTypeError
        If the model is subclassed, or Sequential and not built.
    UnsupportedModelError
        If something cannot be rebuilt; names the layer and its class. If the two differ by more than rounding.
    """
    keras = compat.import_keras3()
    kind = type(model).__name__
    if not isinstance(model, keras.Sequential) and not hasattr(model, "operations"):
        raise ModelTypeError(
            f"model {model.name!r}: its layers cannot be read; expected a Functional or Sequential model, got the "
            f"subclassed model {kind}. Build it with the functional API."
        )
    if not model.built or not model.inputs:
        raise ModelTypeError(
            f"model {model.name!r}: the Sequential model does not know its input shape; expected a built model, got "
            "one without inputs. Begin it with keras.Input(shape)."
        )
    try:
        # As in a file: what is no JSON is nothing that could be rebuilt.
        description = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    except (TypeError, ValueError, NotImplementedError) as err:
        raise UnsupportedModelError(
            f"model {model.name!r}: Keras 3 cannot describe it ({err}); expected layers of Keras's own, got others. "
            "Replace them."
        ) from err
    rebuilt, outputs = rebuild(description, live_weights(model))
    difference = check_rebuilt(model, rebuilt, outputs)
    logger.info("Rebuilt model %r with Keras 2; largest difference %.1e", model.name, difference)
    return Rebuilt(rebuilt, difference)
