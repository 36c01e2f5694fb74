"""Keras models and images in files, read without running what a stranger may have put into them."""

import inspect
import json
import pathlib
import re
import zipfile

import numpy as np

from . import compat, keras3
from .exceptions import InputFileError, UnsafeFileError

__all__ = ["PICTURE_SUFFIXES", "load_images", "load_keras_model"]

#: Suffixes of pictures that are read.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_LAMBDA = re.compile(r'"class_name"\s*:\s*"Lambda"')
_MODULE = re.compile(r'"module"\s*:\s*"([^"]+)"')
_KERAS_MODULES = ("builtins", "keras", "tensorflow", "tf_keras")


def load_keras_model(path, *, unsafe=False):
    """Load a saved Keras model.

    Parameters
    ----------
    path : str or path-like
        An HDF5 file, a ``.keras`` file or the folder of a SavedModel. What Keras 3 has written is rebuilt layer by
        layer with the Keras 2 that NengoDL needs, see `nengo_cam.keras3`; Keras 3 need not be installed.
    unsafe : bool
        Whether to load models whose file names code to be run: Lambda layers and objects from modules outside Keras.

    Returns
    -------
    tf.keras.Model
        The model, not compiled.

    Raises
    ------
    InputFileError
        If there is no such file, or it does not hold a Keras model.
    UnsafeFileError
        If loading would run code from the file and ``unsafe`` is False.
    UnsupportedModelError
        If a model of Keras 3 has a layer that cannot be rebuilt.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputFileError(f"model {str(path)!r}: there is no such file. Check the path.")
    description = _model_description(path)
    if not unsafe:
        _check_description(path, description)
    if _is_to_be_rebuilt(path):
        return keras3.rebuild_file(path, description).model
    tf = compat.import_tensorflow()
    try:
        load = tf.keras.models.load_model
        # Keras before 2.12 has no safe mode to switch off.
        options = {"safe_mode": False} if unsafe and "safe_mode" in inspect.signature(load).parameters else {}
        return load(path, compile=False, **options)
    except Exception as err:
        # Keras raises whatever the layer at fault raises.
        raise InputFileError(
            f"model {str(path)!r}: Keras cannot load it ({type(err).__name__}: {err}); expected a model saved by "
            f"TensorFlow {tf.__version__}. Save it again with model.save."
        ) from err


def load_images(path, *, size=None, channels=None, unsafe=False):
    """Load images from one file.

    Parameters
    ----------
    path : str or path-like
        ``.npy``; ``.npz`` with one array, or one named ``images`` or ``x_test``; or a PNG or JPEG picture.
    size : tuple of int, optional
        (Y, X) that pictures are resized to. Arrays are left as they are.
    channels : int, optional
        1 turns pictures grey, 3 makes them RGB.
    unsafe : bool
        Whether to read arrays of Python objects, which runs code from the file.

    Returns
    -------
    ndarray of shape (N, Y, X, channels)
        The values as they are in the file; N is 1 for a picture. An array (N, Y, X) gets a channel axis.

    Raises
    ------
    InputFileError
        If there is no such file, or it holds no images.
    UnsafeFileError
        If the array is pickled and ``unsafe`` is False.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputFileError(f"images {str(path)!r}: there is no such file. Check the path.")
    suffix = path.suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return _load_picture(path, size, channels)
    if suffix not in (".npy", ".npz"):
        raise InputFileError(
            f"images {str(path)!r}: expected one of {['.npy', '.npz', *PICTURE_SUFFIXES]}, got {suffix!r}. Convert it."
        )
    array = _load_array(path, unsafe)
    return array[..., None] if array.ndim == 3 else array


def _load_picture(path, size, channels):
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            picture = _plain(picture, "L" if channels == 1 else "RGB")
            if size is not None and picture.size != (size[1], size[0]):
                picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            array = np.asarray(picture)
    except (UnidentifiedImageError, OSError) as err:
        raise InputFileError(
            f"images {str(path)!r}: it cannot be read as a picture ({err}); expected PNG or JPEG. Save it again."
        ) from err
    return array.reshape((1, *array.shape[:2], -1))


def _plain(picture, mode):
    """Turn a picture upright, put it on white where it is transparent, and give it 8 bits a channel."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):
        # Pillow cuts 16 bits off at 255 where it should scale them.
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert(mode)


def _load_array(path, unsafe):
    try:
        # A pickle raises ValueError here unless it is allowed.
        data = np.load(path, allow_pickle=unsafe)
        if isinstance(data, np.ndarray):
            return data
        with data:
            names = data.files
            name = next((n for n in ("images", "x_test") if n in names), names[0] if len(names) == 1 else None)
            if name is None:
                raise InputFileError(
                    f"images {str(path)!r}: expected one array, or one named 'images', got {names}. Save the "
                    "images alone."
                )
            return data[name]
    except ValueError as err:
        if "allow_pickle" in str(err):
            raise UnsafeFileError(
                f"images {str(path)!r}: it holds pickled Python objects or is no array at all, and reading it runs "
                "code from the file; expected plain numbers. Save it as a plain array, or pass --unsafe (unsafe=True) "
                "if you trust it."
            ) from err
        if isinstance(err, InputFileError):
            raise
        raise _unreadable(path, err) from err
    except (OSError, EOFError, zipfile.BadZipFile) as err:
        raise _unreadable(path, err) from err


def _unreadable(path, err):
    return InputFileError(
        f"images {str(path)!r}: expected an array written by numpy.save or numpy.savez, got something else ({err}). "
        "Save it again."
    )


def _model_description(path):
    """Return the text in a model file that says which classes it is made of, without loading the model."""
    try:
        if path.is_dir():
            # Keras's part of a SavedModel is JSON inside a protocol buffer.
            return (path / "keras_metadata.pb").read_bytes().decode("utf-8", errors="replace")
        # As Keras decides: a file may be a zip archive to one reader and HDF5 to another.
        if path.name.endswith(".keras") and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.read("config.json").decode("utf-8")
        import h5py

        with h5py.File(path, "r") as file:
            config = file.attrs["model_config"]
            return config.decode("utf-8") if isinstance(config, bytes) else config
    except (OSError, KeyError, UnicodeDecodeError) as err:
        raise InputFileError(
            f"model {str(path)!r}: expected a Keras model (HDF5, .keras or SavedModel), got something else ({err}). "
            "Save it with model.save."
        ) from err


def _is_to_be_rebuilt(path):
    """Tell whether a file is in a format that the Keras 2 of this TensorFlow does not read."""
    import h5py

    if path.is_dir():
        return False
    if path.name.endswith(".keras") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
        tf = compat.import_tensorflow()
        # Archives came with Keras 2.12, but what it writes is not what its successors do.
        reads_archives = tuple(int(part) for part in tf.__version__.split(".")[:2]) >= (2, 13)
        return not reads_archives or str(metadata.get("keras_version", "")).startswith("3.")
    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "")
    return (version.decode("utf-8") if isinstance(version, bytes) else version).startswith("3.")


def _check_description(path, description):
    """Refuse descriptions that have code run."""
    # In JSON, a letter may be written as an escape; what Keras will read is what counts.
    if path.is_dir():
        description = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), description)
    else:
        try:
            description = json.dumps(json.loads(description), ensure_ascii=False)
        except ValueError as err:
            raise InputFileError(
                f"model {str(path)!r}: its configuration cannot be read ({err}); expected JSON. Save "
                "it with model.save."
            ) from err
    foreign = sorted({name for name in _MODULE.findall(description) if name.split(".")[0] not in _KERAS_MODULES})
    problems = ["a Lambda layer"] * bool(_LAMBDA.search(description)) + [f"an object of {name!r}" for name in foreign]
    if problems:
        raise UnsafeFileError(
            f"model {str(path)!r}: it contains {' and '.join(problems)}, and loading it runs code from "
            "the file; expected Keras's own layers. Replace the layer, or pass --unsafe (unsafe=True) if you trust it."
        )
