"""Files that come with the package."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from .. import compat

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["DATA", "load_model"]

#: The folder that holds them.
DATA = pathlib.Path(__file__).parents[1] / "data"


def load_model(name: str) -> tf.keras.Model:
    """Load a model that comes with the package.

    Parameters
    ----------
    name : str
        Its file in `DATA`.

    Returns
    -------
    tf.keras.Model
        Not compiled.

    Raises
    ------
    CompatibilityError
        If TensorFlow cannot be used.
    """
    tf = compat.import_tensorflow()
    return tf.keras.models.load_model(DATA / name, compile=False)
