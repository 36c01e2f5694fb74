"""What the demo shows: a network of the package, and images that it was not trained or calibrated on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..exceptions import ParameterError

__all__ = ["NETWORKS", "STEPS", "Demonstration", "load_demonstration"]

#: Networks that can be shown, the default first, and how many steps each runs by default.
STEPS = {"mobilenet": 20, "digits": 100}
NETWORKS = tuple(STEPS)
# Of the digits.
_IMAGES = 20
# Labels of the CNN's answers to each photograph that are kept of the thousand.
_BEST = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Demonstration:
    """A network and images.

    Attributes
    ----------
    model : tf.keras.Model
        The CNN.
    samples, images : ndarray of shape (N, Y, X, channels)
        Images to calibrate on, and to run.
    title : str
        What the images are.
    filmed : list of int
        Positions of the images that are filmed.
    fps : float
        Frames per second of the film.
    classes : ndarray of shape (N,), optional
        True classes, if they are labels of the model.
    names : list of str, optional
        What the images show, if each has a line of its own.
    label_names : list of str, optional
        Names of all labels.
    best : int, optional
        How many of the CNN's best labels of each image the result keeps; None keeps all.
    """

    model: Any
    samples: Any
    images: Any
    title: str
    filmed: list[int]
    fps: float
    classes: Any = None
    names: Sequence[str] = ()
    label_names: Sequence[str] | None = None
    best: int | None = None


def load_demonstration(network: str, n_images: int | None) -> Demonstration:
    """Load what one of `NETWORKS` is shown with.

    Parameters
    ----------
    network : str
        Which one.
    n_images : int or None
        How many digits, if not 20.

    Returns
    -------
    Demonstration
        The network and its images.

    Raises
    ------
    ParameterError
        If a number of images is given for photographs.
    MissingDependencyError
        If the digits are asked for, and scikit-learn is not installed.
    CompatibilityError
        If TensorFlow cannot be used.
    """
    if network == "mobilenet" and n_images is not None:
        raise ParameterError(
            f"--images: there are two photographs, and both run; expected it with --network digits, got {n_images} "
            "without. Add --network digits."
        )
    return _mobilenet() if network == "mobilenet" else _digits(_IMAGES if n_images is None else n_images)


def _mobilenet():
    from .. import datasets

    (samples, _), (images, names) = datasets.photographs()
    return Demonstration(
        datasets.mobilenet(),
        samples,
        images,
        "photographs, calibrated on others",
        list(range(len(images))),
        # All is decided within ten steps: slow enough to see each.
        fps=5,
        names=names,
        label_names=datasets.imagenet_labels(),
        best=_BEST,
    )


def _digits(n_images):
    from .. import datasets

    (train, _), (images, classes) = datasets.digits()
    images, classes = images[:n_images], classes[:n_images]
    return Demonstration(
        datasets.digits_model(),
        train[:200],
        images,
        "digits, none of them trained on",
        _three_kinds(classes),
        fps=20,
        classes=classes,
    )


def _three_kinds(classes):
    """Positions of the first three digits that differ."""
    found = {}
    for position, value in enumerate(classes):
        found.setdefault(int(value), position)
    return list(found.values())[:3]
