"""Images in files of every format that is read."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from ...exceptions import InputFileError
from .arrays import load_array
from .limits import check_regular
from .pictures import PICTURE_SUFFIXES, check_fit, load_picture

__all__ = ["load_images"]


def load_images(
    path: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str = "stretch",
    unsafe: bool = False,
    max_bytes: int | None = None,
) -> Any:
    """Load images from one file.

    Parameters
    ----------
    path : str or path-like
        ``.npy``; ``.npz`` with one array, or one named ``images`` or ``x_test``; or a PNG or JPEG picture.
    size : tuple of int, optional
        (Y, X) that pictures are resized to. Arrays are left as they are; of images with another number of axes, (X,) or
        (Z, Y, X), there are only arrays.
    channels : int, optional
        1 turns pictures gray, 3 makes them RGB.
    fit : {"crop", "pad", "stretch"}
        What becomes of a picture whose sides have another ratio than ``size``: its middle is cut out, gray bars are put
        beside it, or it is squashed.
    unsafe : bool
        Whether to read arrays of Python objects, which runs code from the file.
    max_bytes : int, optional
        How much memory the content may take, pictures with four bytes a pixel [byte]. Default: 128 MiB or, if that is
        more, a hundred times the size of the file; at most 4 GiB.

    Returns
    -------
    ndarray of shape (N, Y, X, channels)
        The values as they are in the file; N is 1 for a picture. An array (N, Y, X) gets a channel axis, unless
        ``channels`` is more than 1.

    Raises
    ------
    InputFileError
        If there is no such file, if it holds no images, or more than ``max_bytes``.
    UnsafeFileError
        If the array is pickled and ``unsafe`` is False.
    ParameterError
        If ``fit`` is unknown.
    """
    check_fit(fit)
    path = pathlib.Path(path)
    check_regular(f"images {str(path)!r}", path)
    suffix = path.suffix.lower()
    n_axes = 2 if size is None else len(size)
    if suffix in PICTURE_SUFFIXES and n_axes != 2:
        raise InputFileError(
            f"images {str(path)!r}: a picture has two axes; expected images of {n_axes}, as the model takes them, in a "
            "file of NumPy. Give .npy or .npz."
        )
    if suffix in PICTURE_SUFFIXES:
        return load_picture(path, size, channels, max_bytes, fit)
    if suffix not in (".npy", ".npz"):
        raise InputFileError(
            f"images {str(path)!r}: expected one of {['.npy', '.npz', *PICTURE_SUFFIXES]}, got {suffix!r}. Convert it."
        )
    array = load_array(path, unsafe=unsafe, max_bytes=max_bytes)
    if array.ndim == 0:
        raise InputFileError(
            f"images {str(path)!r}: expected an array of images, got a single number. Save the images alone."
        )
    return array[..., None] if array.ndim == 1 + n_axes and channels in (None, 1) else array
