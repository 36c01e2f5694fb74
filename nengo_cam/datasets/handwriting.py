"""Handwritten digits, one in an image, and a CNN that knows them."""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from .. import compat
from ..exceptions import DatasetUnavailableError, MissingDependencyError
from .shipped import load_model

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["digits", "digits_model", "mnist", "resized_digits"]

_DIGITS_SIZE = 28
_N_DIGITS_FOR_TRAINING = 1437


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load scikit-learn's handwritten digits, enlarged from 8 x 8 to 28 x 28 pixels.

    The last fifth of the 1,797 digits is for testing. Neighbors in the data set come from the same writers, so most
    writers of the test digits are not among those of the training digits.

    Returns
    -------
    (train_images, train_classes), (test_images, test_classes)
        Images of shape (1437 or 360, 28, 28, 1), float32 from 0 to 1; classes from 0 to 9.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.

    References
    ----------
    .. [1] Alpaydin and Kaynak (1998). Optical Recognition of Handwritten Digits. UCI Machine Learning Repository.

    Examples
    --------
    >>> (train_images, train_classes), (test_images, test_classes) = ncam.datasets.digits()
    >>> train_images.shape, test_images.shape
    ((1437, 28, 28, 1), (360, 28, 28, 1))
    >>> float(test_images.min()), float(test_images.max())
    (0.0, 1.0)
    """
    return resized_digits("digits", _DIGITS_SIZE)


def resized_digits(name: str, size: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load the digits at another size.

    Parameters
    ----------
    name : str
        What to call them in errors.
    size : int
        Side of the images [pixel].

    Returns
    -------
    (train_images, train_classes), (test_images, test_classes)
        As `digits` gives them.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load_small
    except ImportError as err:
        raise MissingDependencyError(
            f"{name}: they come with scikit-learn; expected it to be installed, got none. "
            "Run: pip install 'nengo-cam[demo]'."
        ) from err
    from scipy.ndimage import zoom

    data = load_small()
    factor = size / data.images.shape[1]
    # Linear between pixel centers, cells of the small image spread evenly over the large one.
    images = zoom(data.images / 16, (1, factor, factor), order=1, mode="nearest", grid_mode=True)
    images = images.astype(np.float32)[..., None]
    n = _N_DIGITS_FOR_TRAINING
    return (images[:n], data.target[:n]), (images[n:], data.target[n:])


def digits_model() -> tf.keras.Model:
    """Load the small CNN that ships with the package, trained on the training images of `digits`.

    Five 3 x 3 convolutions with ReLU, global average pooling and a Dense readout with softmax. The script that trained
    it is ``examples/train_digits_model.py``.

    Returns
    -------
    tf.keras.Model
        The model; takes images of shape (28, 28, 1) from 0 to 1.

    Raises
    ------
    CompatibilityError
        If TensorFlow cannot be used.

    Examples
    --------
    >>> model = ncam.datasets.digits_model()
    >>> model.input_shape, model.output_shape
    ((None, 28, 28, 1), (None, 10))
    """
    return load_model("digits_gap.h5")


def mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load MNIST from Keras's cache, or through ``tf.keras.datasets``, which downloads it and keeps it there.

    Returns
    -------
    (train_images, train_classes), (test_images, test_classes)
        Images of shape (60000 or 10000, 28, 28, 1), float32 from 0 to 1; classes from 0 to 9.

    Raises
    ------
    DatasetUnavailableError
        If it is not in Keras's cache and cannot be downloaded, or if the file in the cache is something else.
    """
    cached = pathlib.Path(os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras")) / "datasets" / "mnist.npz"
    # Keras deletes a cached file that is packed in another way than its own, and downloads it again.
    train, test = _read_mnist(cached) if cached.exists() else _download_mnist(cached)
    return _as_images(*train), _as_images(*test)


def _as_images(images, classes):
    return images.astype(np.float32)[..., None] / 255, classes.astype(int)


def _read_mnist(path):
    try:
        with np.load(path, allow_pickle=False) as data:
            train, test = ((data[f"x_{part}"], data[f"y_{part}"]) for part in ("train", "test"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as err:
        raise DatasetUnavailableError(
            f"MNIST: {str(path)!r} cannot be read ({err}); expected arrays x_train, y_train, x_test and y_test, got "
            "something else. Delete the file, so that it is downloaded again."
        ) from err
    return train, test


def _download_mnist(path):
    tf = compat.import_tensorflow()
    try:
        return tf.keras.datasets.mnist.load_data()
    except Exception as err:
        # Keras turns every failure to download into a bare Exception.
        raise DatasetUnavailableError(
            f"MNIST: it is not in Keras's cache and cannot be downloaded ({err}); expected {str(path)!r}, got no "
            "such file. Connect to the network once, or put mnist.npz there."
        ) from err
