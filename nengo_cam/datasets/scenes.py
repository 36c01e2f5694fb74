"""Digits scattered over scenes with boxes around them, and a CNN that finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..checks.parameters import check_count, check_seed, is_whole
from ..exceptions import ParameterError
from .handwriting import resized_digits
from .shipped import load_model

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["scattered_digits", "scattered_digits_model"]

#: Side of the digits in scenes, and the empty border around whatever stands there [pixel].
_SCENE_DIGITS_SIZE = 16
_GAP = 2
#: Draws of a position, and draws of a whole scene, before a canvas counts as too small.
_N_POSITIONS, _N_SCENES = 50, 200


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
    digits, classes = resized_digits("scattered_digits", _SCENE_DIGITS_SIZE)[split == "test"]
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
    return load_model("scattered_digits_gap.h5")
