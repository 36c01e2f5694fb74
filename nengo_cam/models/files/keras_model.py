"""Keras models in files of every format that Keras writes."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import pathlib
import tempfile
import zipfile
from typing import Any

from ... import compat
from ...exceptions import CAMError, InputFileError, UnsafeFileError
from .. import keras3
from .archives import open_archive
from .configuration import check_configuration
from .guard import guarded_building
from .hdf5 import attribute_text, opened_hdf5
from .limits import MAX_TEXT, allowed_bytes, check_bytes, check_regular, is_folder
from .texts import decode, parse_object

__all__ = ["load_keras_model"]

_WEIGHTS, _DESCRIPTION, _METADATA = "model.weights.h5", "config.json", "metadata.json"
_MARKS_OF_SAVED_MODELS = ("keras_metadata.pb", "saved_model.pb", "saved_model.pbtxt", "fingerprint.pb")


def load_keras_model(path: str | os.PathLike, *, unsafe: bool = False, max_bytes: int | None = None) -> Any:
    """Load a saved Keras model.

    Nothing that stands in the file is run: the model is built from Keras's own layers, and everything else is refused
    by name. See :doc:`/files` for what that covers and what it does not.

    Parameters
    ----------
    path : str or path-like
        An HDF5 file, a ``.keras`` file or, if it is trusted, the folder of a SavedModel. What Keras 3 has written is
        rebuilt layer by layer with the Keras 2 that NengoDL needs, see `nengo_cam.models.keras3`; Keras 3 need not be
        installed.
    unsafe : bool
        Whether you trust the file: it is opened by Keras itself, which runs the code of Lambda layers, functions and
        SavedModels.
    max_bytes : int, optional
        How much memory the weights may take [byte]. Default: 128 MiB or, if that is more, a hundred times the size of
        the file; at most 4 GiB.

    Returns
    -------
    tf.keras.Model
        The model, not compiled.

    Raises
    ------
    InputFileError
        If there is no such file, if it does not hold a Keras model, or if that is larger than ``max_bytes``.
    UnsafeFileError
        If loading could run code from the file or read other files, and ``unsafe`` is False.
    UnsupportedModelError
        If a model of Keras 3 has a layer that cannot be rebuilt.
    """
    path = pathlib.Path(path)
    subject = f"model {str(path)!r}"
    if is_folder(path):
        return _load_folder(subject, path, unsafe)
    check_regular(subject, path)
    limit = allowed_bytes(path, max_bytes)
    max_text = MAX_TEXT if max_bytes is None else max(MAX_TEXT, limit)
    with _translated(subject), _opened(subject, path, limit, max_text, unsafe) as stored:
        if stored.rebuilds:
            guard = None if unsafe else guarded_building(subject, stored.n_bytes, limit)
            return keras3.rebuild_file(subject, stored.description, stored.weights, guard=guard).model
        if not unsafe:
            return _built(subject, stored, limit)
    return _load_trusted(subject, path)


@dataclasses.dataclass(frozen=True)
class _Stored:
    """What a file holds of a model.

    Attributes
    ----------
    description : dict
        What it says of the model, checked unless the file is trusted.
    weights : h5py.File
        HDF5 file with the weights, open.
    n_bytes : int
        Size of the weights [byte].
    is_archive : bool
        Whether it is a ``.keras`` archive.
    by_keras3 : bool
        Whether Keras 3 has written it.
    """

    description: dict
    weights: Any
    n_bytes: int
    is_archive: bool
    by_keras3: bool

    @property
    def rebuilds(self):
        """Whether the Keras 2 of this TensorFlow does not read it."""
        # Archives came with Keras 2.12, but what it writes is not what its successors do.
        version = compat.import_tensorflow().__version__
        reads_archives = tuple(int(part) for part in version.split(".")[:2]) >= (2, 13)
        return self.by_keras3 or (self.is_archive and not reads_archives)


@contextlib.contextmanager
def _opened(subject, path, limit, max_text, unsafe):
    """Read and check the description in a file, and open its weights."""
    # As Keras decides: a file may be a zip archive to one reader and HDF5 to another.
    if not (path.name.endswith(".keras") and zipfile.is_zipfile(path)):
        with opened_hdf5(subject, path, limit, unsafe=unsafe) as (file, n_bytes):
            by_keras3 = (attribute_text(file, "keras_version") or "").startswith("3.")
            description = _description(subject, _description_in(subject, file, max_text), by_keras3, unsafe)
            yield _Stored(description, file, n_bytes, is_archive=False, by_keras3=by_keras3)
        return
    with tempfile.TemporaryDirectory(prefix="nengo_cam-") as folder:
        weights_path = pathlib.Path(folder) / _WEIGHTS
        with open_archive(subject, path) as archive:
            by_keras3 = _version_in(subject, archive).startswith("3.")
            text = decode(subject, archive.read(_DESCRIPTION, max_text), "JSON")
            description = _description(subject, text, by_keras3, unsafe)
            with weights_path.open("wb") as file:
                file.writelines(archive.blocks(_WEIGHTS, limit))
        opened = opened_hdf5(f"{subject}, {_WEIGHTS!r}", weights_path, limit, unsafe=unsafe)
        with opened as (weights, n_bytes):
            yield _Stored(description, weights, n_bytes, is_archive=True, by_keras3=by_keras3)


def _description(subject, text, by_keras3, unsafe):
    description = parse_object(subject, text)
    return description if unsafe else check_configuration(subject, description, keras3=by_keras3)


def _version_in(subject, archive):
    if _METADATA not in archive:
        return ""
    metadata = parse_object(subject, decode(subject, archive.read(_METADATA, MAX_TEXT), "JSON"))
    return str(metadata.get("keras_version", ""))


def _description_in(subject, file, max_text):
    text = attribute_text(file, "model_config")
    if text is None and ("layer_names" in file.attrs or {"layers", "_layer_checkpoint_dependencies"} & set(file)):
        raise InputFileError(
            f"{subject}: it holds weights only, without the model that they belong to; expected both. Save the whole "
            "model with model.save, or build it in Python and call its load_weights."
        )
    if text is None:
        raise InputFileError(
            f"{subject}: expected a Keras model (HDF5, .keras or SavedModel), got HDF5 without a description of one. "
            "Save it with model.save."
        )
    check_bytes(subject, len(text), max_text, "its description")
    return text


def _built(subject, stored, limit):
    """Build a model of Keras 2 from its checked description, and give it its weights."""
    tf = compat.import_tensorflow()
    with _translated(subject), guarded_building(subject, stored.n_bytes, limit):
        if stored.is_archive:
            model = tf.keras.saving.deserialize_keras_object(stored.description)
            model.load_weights(stored.weights.filename)
        else:
            model = tf.keras.models.model_from_json(json.dumps(stored.description))
            compat.load_hdf5_weights(model, stored.weights["model_weights"])
    return model


def _load_folder(subject, path, unsafe):
    """Load a SavedModel, which is a program."""
    if not any((path / name).exists() for name in _MARKS_OF_SAVED_MODELS):
        raise InputFileError(
            f"{subject}: expected a Keras model (HDF5, .keras or SavedModel), got a folder without one. Save it with "
            "model.save."
        )
    if not unsafe:
        raise UnsafeFileError(
            f"{subject}: it is a SavedModel, and loading it runs the functions that are saved in it; expected an HDF5 "
            "or .keras file. Save it with model.save('model.keras') or model.save('model.h5'), or pass --unsafe "
            "(unsafe=True) if you trust it."
        )
    return _load_trusted(subject, path)


def _load_trusted(subject, path):
    """Have Keras load a file itself."""
    load = compat.import_tensorflow().keras.models.load_model
    # Keras before 2.12 has no safe mode to switch off.
    options = {"safe_mode": False} if "safe_mode" in inspect.signature(load).parameters else {}
    with _translated(subject):
        return load(path, compile=False, **options)


@contextlib.contextmanager
def _translated(subject):
    """Turn what Keras raises, which is whatever the layer at fault raises, into an error of ours."""
    try:
        yield
    except CAMError:
        raise
    except Exception as err:
        version = compat.import_tensorflow().__version__
        raise InputFileError(
            f"{subject}: Keras cannot load it ({type(err).__name__}: {str(err)[:1000]}); expected a model saved by "
            f"TensorFlow {version}. Save it again with model.save."
        ) from err
