"""Real images to try things on, and CNNs that know them.

Photographs for a CNN trained on ImageNet; scikit-learn's handwritten digits, alone or in scenes; and MNIST.
"""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Literal

import numpy as np

from . import compat
from .checks.parameters import check_count, check_seed, is_whole, number_twins
from .exceptions import DatasetUnavailableError, MissingDependencyError, ParameterError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "digits",
    "digits_model",
    "imagenet_labels",
    "mnist",
    "mobilenet",
    "photographs",
    "scattered_digits",
    "scattered_digits_model",
]

_DIGITS_SIZE = 28
_N_DIGITS_FOR_TRAINING = 1437
#: Side of the digits in scenes, and the empty border around whatever stands there [pixel].
_SCENE_DIGITS_SIZE = 16
_GAP = 2
#: Draws of a position, and draws of a whole scene, before a canvas counts as too small.
_N_POSITIONS, _N_SCENES = 50, 200
_DATA = pathlib.Path(__file__).with_name("data")
#: What can be seen in the photographs. Those to calibrate on are of nothing that the others show.
_SAMPLES, _PHOTOGRAPHS = ["astronaut", "cameraman", "rocket"], ["cat", "coffee"]
#: Height and width of whole photographs [pixel]; and the shortest side of which a cell of the MobileNet's map is left.
_WHOLE, _CELL = (192, 288), 32


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
    return _load_digits("digits", _DIGITS_SIZE)


def _load_digits(name, size):
    """Load the digits at a size [pixel], for the function of that name, as `digits` gives them."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as err:
        raise MissingDependencyError(
            f"{name}: they come with scikit-learn; expected it to be installed, got none. "
            "Run: pip install 'nengo-cam[demo]'."
        ) from err
    from scipy.ndimage import zoom

    data = load_digits()
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
    return _load_model("digits_gap.h5")


def _load_model(name):
    tf = compat.import_tensorflow()
    return tf.keras.models.load_model(_DATA / name, compile=False)


def scattered_digits(
    n: int,
    *,
    split: Literal["test", "train"] = "test",
    size: int = 64,
    digits_per_image: int = 2,
    clutter: int = 6,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make scenes whose answer is known: digits among distractors, with their boxes.

    Digits of `digits`, 16 pixels high, stand at random places of a black square, those of one image all different.
    The distractors are pieces of digits, half their size, and straight strokes. Nothing touches anything else. The
    same arguments give the same scenes, and more of them begin with the same ones.

    Parameters
    ----------
    n : int
        Number of images N.
    split : {"test", "train"}
        Which digits, and pieces of digits, to use: the two have none in common.
    size : int
        Height and width of the image [pixel].
    digits_per_image : int
        Digits D in each image, from 1 to 10.
    clutter : int
        Distractors in each image; may be 0.
    seed : int
        Seed.

    Returns
    -------
    images : ndarray of shape (N, size, size, 1)
        Images, float32 from 0 to 1.
    labels : ndarray of shape (N, D)
        Classes from 0 to 9, in random order.
    boxes : ndarray of shape (N, D, 4)
        The smallest box around each digit, ``(y0, x0, y1, x1)`` [pixel], half-open: the digit is
        ``image[y0:y1, x0:x1]``, and the pixel with center ``(y, x)`` is inside if ``y0 <= y < y1`` and
        ``x0 <= x < x1``.

    Raises
    ------
    ParameterError
        If ``n``, ``size``, ``digits_per_image``, ``clutter`` or ``seed`` is not a whole number in its range, ``split``
        is unknown, or so much does not fit on the canvas.
    MissingDependencyError
        If scikit-learn is not installed.

    Examples
    --------
    >>> scenes, labels, boxes = ncam.datasets.scattered_digits(2, size=64, digits_per_image=2, seed=0)
    >>> scenes.shape, labels.shape, boxes.shape
    ((2, 64, 64, 1), (2, 2), (2, 2, 4))
    >>> y0, x0, y1, x1 = boxes[0, 0]
    >>> bool(scenes[0, y0:y1, x0:x1].any())
    True
    """
    for name, value in (("n", n), ("size", size), ("digits_per_image", digits_per_image)):
        check_count(name, value)
    if digits_per_image > 10:
        raise ParameterError(
            f"digits_per_image: the digits of an image are all different; expected at most 10, got {digits_per_image}. "
            "Ask for fewer."
        )
    if not is_whole(clutter) or clutter < 0:
        raise ParameterError(f"clutter: expected a whole number of at least 0, got {clutter!r}. Try clutter=6.")
    if split not in ("train", "test"):
        raise ParameterError(f"split: expected 'train' or 'test', got {split!r}. Choose one.")
    check_seed(seed)
    digits, classes = _load_digits("scattered_digits", _SCENE_DIGITS_SIZE)[split == "test"]
    rng = np.random.default_rng(seed)
    scenes = [_scene(digits, classes, size, digits_per_image, clutter, rng) for _ in range(n)]
    images, labels, boxes = map(np.stack, zip(*scenes))
    return images, labels, boxes


def _scene(digits, classes, size, n_digits, n_distractors, rng):
    """Draw digits and distractors, and put them on a canvas: image, labels and boxes."""
    labels = rng.permutation(10)[:n_digits]
    shapes = [_cropped(digits[rng.choice(np.flatnonzero(classes == label)), :, :, 0]) for label in labels]
    shapes += [_distractor(digits, rng) for _ in range(n_distractors)]
    for _ in range(_N_SCENES):
        boxes = _places([shape.shape for shape in shapes], size, rng)
        if boxes is not None:
            break
    else:
        raise ParameterError(
            f"size: {n_digits} digits of {_SCENE_DIGITS_SIZE} pixels and {n_distractors} distractors found no room "
            f"in {_N_SCENES} draws; expected a larger canvas, got {size}. Raise size, or lower clutter."
        )
    image = np.zeros((size, size, 1), np.float32)
    for shape, (y0, x0, y1, x1) in zip(shapes, boxes):
        image[y0:y1, x0:x1, 0] = shape
    return image, labels, boxes[:n_digits]


def _places(shapes, size, rng):
    """Draw boxes of the given shapes that keep their distance, or None if one finds no place."""
    boxes = np.zeros((0, 4), int)
    for height, width in shapes:
        if max(height, width) > size:
            return None
        for y0, x0 in rng.integers(0, (size - height + 1, size - width + 1), (_N_POSITIONS, 2)):
            box = np.array([y0, x0, y0 + height, x0 + width])
            apart = (box[:2] >= boxes[:, 2:] + _GAP) | (box[2:] + _GAP <= boxes[:, :2])
            if apart.any(axis=1).all():
                boxes = np.concatenate([boxes, box[None]])
                break
        else:
            return None
    return boxes


def _distractor(digits, rng):
    """Draw a piece of a digit, or a stroke."""
    side = _SCENE_DIGITS_SIZE // 2
    if rng.random() < 0.5:
        y, x = rng.integers(0, _SCENE_DIGITS_SIZE - side + 1, 2)
        piece = digits[rng.integers(len(digits)), y : y + side, x : x + side, 0]
        # At the edge of a digit a piece can be all but empty.
        return _cropped(piece) if piece.mean() > 0.2 else _distractor(digits, rng)
    angle, length = rng.uniform(0, np.pi), rng.uniform(side / 2, side)
    along = np.array([np.sin(angle), np.cos(angle)])
    points = np.moveaxis(np.indices((side + 4, side + 4)), 0, -1) - (side + 3) / 2
    nearest = np.clip(points @ along, -length / 2, length / 2)[..., None] * along
    # As thick as the strokes of a pen in the digits, with a soft edge.
    ink = np.clip(2 - np.linalg.norm(points - nearest, axis=-1), 0, 1)
    return _cropped(ink.astype(np.float32))


def _cropped(image):
    """Cut off empty rows and columns."""
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def scattered_digits_model() -> tf.keras.Model:
    """Load the small CNN that ships with the package, trained on `scattered_digits` with 1 and 2 digits per image.

    Convolutions with ReLU, global average pooling and a Dense readout with a sigmoid for each class: is this digit
    there? The script that trained it is ``examples/train_scattered_digits.py``.

    Returns
    -------
    tf.keras.Model
        The model; takes images of shape (64, 64, 1) from 0 to 1.

    Raises
    ------
    CompatibilityError
        If TensorFlow cannot be used.
    """
    return _load_model("scattered_digits_gap.h5")


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


def mobilenet(size: tuple[int, int] = _WHOLE) -> tf.keras.Model:
    """Load the MobileNet that ships with the package, trained on the photographs of ImageNet [1]_.

    MobileNet v1, a quarter as wide as the full one: 27 convolutions with BatchNorm and ReLU clipped at 6, global
    average pooling and a readout of 1001 labels with softmax. Nothing is downloaded. The weights are Google's, under
    the Apache License 2.0; ``README.txt`` and ``LICENSE-Apache-2.0.txt`` in the package's folder ``data`` say more.

    Parameters
    ----------
    size : tuple of (int, int)
        Height Y and width X of the images that it takes, at least 32 each [pixel]. A cell of the map is 32 pixels wide.
        It was trained on 128 x 128; being made of convolutions it takes others as well, with the same weights. By
        default whole photographs, which give a map of 6 x 9 cells.

    Returns
    -------
    tf.keras.Model
        The model; takes images of shape (Y, X, 3) from -1 to 1, as `photographs` gives them. `imagenet_labels` says
        what its labels are called.

    Raises
    ------
    ParameterError
        If ``size`` is not two whole numbers of at least 32.
    CompatibilityError
        If TensorFlow cannot be used.

    References
    ----------
    .. [1] Howard et al. (2017). MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.
       arXiv:1704.04861.

    Examples
    --------
    >>> model = ncam.datasets.mobilenet()
    >>> model.input_shape, model.output_shape
    ((None, 192, 288, 3), (None, 1001))
    """
    size = _check_size(size)
    trained = _load_model("mobilenet_0.25_128.h5")
    if trained.input_shape[1:3] == size:
        return trained
    tf = compat.import_tensorflow()
    model = tf.keras.models.clone_model(trained, tf.keras.Input((*size, 3)))
    # A clone has weights of its own, drawn anew.
    model.set_weights(trained.get_weights())
    return model


def imagenet_labels() -> list[str]:
    """Load what the labels of `mobilenet` are called.

    Of the names that ImageNet has for a label, the first. Where two labels have the same, such as the crane that is a
    bird and the one that is a machine, the second is numbered.

    Returns
    -------
    list of str
        The 1001 names, all different, in the order of the readout. The first is ``"background"``: none of the others.

    Examples
    --------
    >>> labels = ncam.datasets.imagenet_labels()
    >>> len(labels), labels[282], labels[968]
    (1001, 'tabby', 'espresso')
    """
    lines = (_DATA / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    return number_twins([line.split(",")[0] for line in lines])


def photographs(
    size: tuple[int, int] = _WHOLE,
) -> tuple[tuple[np.ndarray, list[str]], tuple[np.ndarray, list[str]]]:
    """Load the photographs that ship with the package, as `mobilenet` takes them.

    Two to look at, and three others to calibrate firing rates on. All come with scikit-image, and are in the public
    domain or under CC0; ``README.txt`` in the package's folder ``data`` names who took them.

    Parameters
    ----------
    size : tuple of (int, int)
        Height Y and width X, at least 32 each [pixel]. Of another ratio than a photograph's, its middle is cut out.

    Returns
    -------
    (samples, sample_names), (images, names)
        Images of shape (3 or 2, Y, X, 3), float32 from -1 (black) to 1; and what they show.

    Raises
    ------
    ParameterError
        If ``size`` is not two whole numbers of at least 32.

    Examples
    --------
    >>> (samples, _), (images, names) = ncam.datasets.photographs()
    >>> samples.shape, images.shape, names
    ((3, 192, 288, 3), (2, 192, 288, 3), ['cat', 'coffee'])
    """
    size = _check_size(size)
    return _load_photographs(_SAMPLES, size), _load_photographs(_PHOTOGRAPHS, size)


def _check_size(size):
    values = list(size) if isinstance(size, (list, tuple)) else [size]
    if len(values) != 2 or not all(is_whole(value) and value >= _CELL for value in values):
        raise ParameterError(
            f"size: expected height and width, whole numbers of at least {_CELL}, got {size!r}. Try (128, 128)."
        )
    return tuple(map(int, values))


def _load_photographs(names, size):
    from PIL import Image, ImageOps

    pictures = []
    for name in names:
        with Image.open(_DATA / "photographs" / f"{name}.jpg") as picture:
            # The filter that files of users are scaled with, so that a photograph gives the same either way.
            pictures.append(ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BILINEAR))
    return np.stack([np.asarray(picture, np.float32) / 127.5 - 1 for picture in pictures]), list(names)
