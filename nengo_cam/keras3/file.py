"""Models in files that Keras 3 has written, read without it."""

import io
import json
import logging
import zipfile

from .. import compat
from ..exceptions import InputFileError
from .check import check_rebuilt
from .graph import Rebuilt, rebuild
from .weights import archive_weights, legacy_weights

__all__ = ["rebuild_file"]

logger = logging.getLogger(__name__)


def rebuild_file(path, description):
    """Rebuild the model in a file with Keras 2, and compare it with the file's if Keras 3 is installed.

    Parameters
    ----------
    path : pathlib.Path
        A ``.keras`` archive of Keras 2.12 or later, or an HDF5 file of Keras 3.
    description : str
        The JSON in the file that describes the model.

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
    import h5py

    try:
        described = json.loads(description)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(content, "r") as file:
                model, outputs = rebuild(described, archive_weights(file, described))
        else:
            with h5py.File(path, "r") as file:
                model, outputs = rebuild(described, legacy_weights(file))
    except (OSError, KeyError, IndexError, AttributeError, zipfile.BadZipFile) as err:
        raise InputFileError(
            f"model {str(path)!r}: its description or its weights are incomplete ({type(err).__name__}: {err}); "
            "expected what model.save writes, got less. Save it again with model.save."
        ) from err
    rebuilt = _checked(path, model, outputs)
    if rebuilt.unchecked is None:
        logger.info("Rebuilt model %r with Keras 2; largest difference %.1e", model.name, rebuilt.largest_difference)
    else:
        logger.warning("Rebuilt model %r with Keras 2; not compared with its source: %s", model.name, rebuilt.unchecked)
    return rebuilt


def _checked(path, model, outputs):
    """Compare with the model that Keras 3 loads, where there is one."""
    keras = compat.import_keras3()
    if keras is None:
        return Rebuilt(model, None, "Keras 3 is not installed")
    try:
        source = keras.saving.load_model(path, compile=False)
    except Exception as err:
        # Keras raises whatever the layer at fault raises.
        return Rebuilt(model, None, f"Keras {keras.__version__} cannot load it ({type(err).__name__}: {err})")
    return Rebuilt(model, check_rebuilt(source, model, outputs))
