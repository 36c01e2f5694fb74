"""Photographs, and a CNN trained on ImageNet that knows what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import compat
from ..checks.parameters import is_whole, number_twins
from ..exceptions import ParameterError
from .shipped import DATA, load_model

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["imagenet_labels", "mobilenet", "photographs"]

#: What can be seen in the photographs. Those to calibrate on are of nothing that the others show.
_SAMPLES, _PHOTOGRAPHS = ["astronaut", "cameraman", "rocket"], ["cat", "coffee"]
#: Height and width of whole photographs [pixel]; and the shortest side of which a cell of the MobileNet's map is left.
_WHOLE, _CELL = (192, 288), 32


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
    trained = load_model("mobilenet_0.25_128.h5")
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
    lines = (DATA / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
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
        with Image.open(DATA / "photographs" / f"{name}.jpg") as picture:
            # The filter that files of users are scaled with, so that a photograph gives the same either way.
            pictures.append(ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BILINEAR))
    return np.stack([np.asarray(picture, np.float32) / 127.5 - 1 for picture in pictures]), list(names)
