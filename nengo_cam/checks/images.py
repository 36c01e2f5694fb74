"""Images as the user gives them, checked before any simulation."""

from __future__ import annotations

import collections.abc
import math
import numbers
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import ImageError

__all__ = ["check_images", "check_shape"]


def check_images(
    images: ArrayLike,
    input_shape: tuple[int, ...],
    *,
    n_steps: int | None = None,
    name: str = "images",
    first: int = 0,
) -> NDArray[np.float32]:
    """Check that an array holds images that a network takes.

    Parameters
    ----------
    images : array_like of shape (N, *input_shape) or (N, T, *input_shape)
        Still images, or moving ones with one frame per time step: an array, a tensor, a DataArray, or a list of them.
        Booleans, integers and floats are taken as they are; nothing is scaled.
    input_shape : tuple of int
        Shape of an image that the network expects, such as (Y, X, channels).
    n_steps : int or None
        Time steps that the network will run, which moving images have to have. None allows any number.
    name : str
        What to call the array in errors.
    first : int
        Number of the first image, in errors: that of a block's first row.

    Returns
    -------
    ndarray of float32
        The images, of the same shape.

    Raises
    ------
    ImageError
        If it is no array and cannot be made one without asking how, such as a data set or a generator; if the shape
        does not fit, the batch is empty, the dtype is not a real number, or a value is NaN, infinite or masked.
    """
    input_shape = tuple(input_shape)
    array = _as_array(images, input_shape, name)
    check_shape(array.shape, input_shape, n_steps=n_steps, name=name)
    with np.errstate(over="ignore"):
        # Checked in the precision of the network: what is finite in double may not be.
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        bad = sorted({first + row for row in np.argwhere(~np.isfinite(array))[:, 0].tolist()})
        raise ImageError(
            f"{name}: expected finite values, got NaN or infinity in image{'s' if len(bad) > 1 else ''} "
            f"{', '.join(map(str, bad[:10]))}{' and more' if len(bad) > 10 else ''}. Remove or repair them.",
            images=bad,
        )
    return array


def check_shape(
    shape: tuple[int, ...], input_shape: tuple[int, ...], *, n_steps: int | None = None, name: str = "images"
) -> None:
    """Check that a shape is that of images that a network takes, still or moving.

    Parameters
    ----------
    shape : tuple of int
        Shape of all images.
    input_shape, n_steps, name
        As for `check_images`.

    Raises
    ------
    ImageError
        If it does not fit, or there are no images.
    """
    n_axes = len(input_shape)
    if len(shape) not in (n_axes + 1, n_axes + 2) or shape[-n_axes:] != input_shape:
        raise ImageError(
            f"{name}: wrong shape; expected (N, {', '.join(map(str, input_shape))}) or (N, T, "
            f"{', '.join(map(str, input_shape))}), got {shape}. {_shape_remedy(shape, input_shape)}",
            shape=shape,
        )
    if math.prod(shape) == 0:
        raise ImageError(f"{name}: expected at least one image, got an array of shape {shape}. Pass some images.")
    if len(shape) == n_axes + 2 and n_steps is not None and shape[1] != n_steps:
        raise ImageError(
            f"{name}: moving images have one frame per time step; expected {n_steps} frames, got {shape[1]}. "
            f"Set n_steps={shape[1]} or repeat frames."
        )


def _as_array(images: Any, input_shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Make an array of real numbers of what the user gave."""
    remedy = _container_remedy(images, input_shape)
    if remedy is not None:
        raise ImageError(
            f"{name}: expected an array, got {type(images).__module__}.{type(images).__name__}. {remedy}",
        )
    if _is_masked(images):
        raise ImageError(
            f"{name}: some values are masked, which a network cannot see; expected values everywhere, got a masked "
            "array. Say what stands in their place: images.filled(value).",
        )
    try:
        array = np.asarray(images)
    except ValueError as err:
        raise ImageError(
            f"{name}: the images have different shapes; expected one array, got a ragged list. "
            f"{_ragged_remedy(images, input_shape)}"
        ) from err
    except (TypeError, RuntimeError, NotImplementedError) as err:
        # A symbolic tensor, a tensor on a device: each library has its own error.
        raise ImageError(
            f"{name}: expected numbers, got {type(images).__module__}.{type(images).__name__}, of which NumPy makes no "
            f"array ({err}). Pass an array."
        ) from err
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"{name}: expected real numbers, got dtype {array.dtype}. {_dtype_remedy(array)}", dtype=str(array.dtype)
        )
    return array


def _container_remedy(images, input_shape):
    """Say how to make an array of something that holds or gives images; None if NumPy knows."""
    if isinstance(images, (str, bytes, os.PathLike)):
        return "Read the file: np.asarray(PIL.Image.open(path))."
    if isinstance(images, collections.abc.Mapping):
        key = next(iter(images), "image")
        return f"Pass one of its arrays, such as images[{key!r}]."
    if hasattr(images, "element_spec") and hasattr(images, "as_numpy_iterator"):
        spec = images.element_spec
        is_tuple = isinstance(spec, tuple)
        rank = getattr(getattr(spec[0] if is_tuple else spec, "shape", None), "rank", None)
        together = "np.stack" if rank == len(input_shape) else "np.concatenate"
        one = "x for x, *_ in" if is_tuple else "x for x in"
        if isinstance(spec, collections.abc.Mapping):
            one = f"x[{next(iter(spec))!r}] for x in"
        return f"Make one: {together}([{one} images.as_numpy_iterator()])."
    if hasattr(images, "read_rows"):
        return "It gives a block of rows at a time; read all: images.read_rows(0, images.shape[0])."
    if hasattr(images, "to_sparse_csr") or type(images).__name__ == "SparseTensor":
        return "Make it dense: tf.sparse.to_dense(images)."
    if isinstance(images, collections.abc.Iterator):
        return "Take as many as you want: np.stack(list(itertools.islice(images, n)))."
    arrays = ("__array__", "__array_interface__", "__array_struct__", "__buffer__", "numpy")
    known = (list, tuple, range, memoryview, bytearray, numbers.Number, type(None))
    if isinstance(images, known) or any(hasattr(images, attribute) for attribute in arrays):
        return None
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        return "It gives batch after batch; make one array: np.concatenate([images[i] for i in range(len(images))])."
    return "Make one of the images: np.stack(list_of_arrays)."


def _is_masked(images):
    """Tell whether a value is masked in an array, or in one of a list of arrays."""
    if isinstance(images, (list, tuple)):
        return any(_is_masked(item) for item in images if isinstance(item, (list, tuple, np.ma.MaskedArray)))
    return isinstance(images, np.ma.MaskedArray) and bool(np.ma.is_masked(images))


def _ragged_remedy(images, input_shape):
    """Say whether these are images with their labels, or of several sizes."""
    n_axes = len(input_shape)
    shape = getattr(images[0], "shape", ())
    # Not two images: labels have fewer axes than an image, or stand beside a batch.
    are_labels = len(images) == 2 and (len(shape) > n_axes or getattr(images[1], "ndim", 1) < n_axes)
    if are_labels and shape[-n_axes:] == input_shape:
        return "Pass the images without their labels: images[0]."
    if all(isinstance(item, (list, tuple)) and len(item) == 2 for item in images):
        return "Pass the images without their labels: [x for x, _ in images]."
    return "Resize them first."


def _dtype_remedy(array):
    kind = array.dtype.kind
    if kind == "c":
        return "Take the real part, or the magnitude: np.abs(images)."
    if kind in "SU":
        return "Read the files that they name, or convert what was read from text with astype('float32')."
    if kind == "O" and any(np.ndim(item) for item in array.ravel()[:1]):
        return "It is an array of arrays; make one of them: np.stack(images), after resizing them to one shape."
    if kind == "O":
        return "Convert them with astype('float32')."
    return "Make numbers of them that mean brightness."


def _shape_remedy(shape, input_shape):
    """Say which of the common slips this is."""
    n_axes, n_channels = len(input_shape), input_shape[-1]
    first = (n_channels, *input_shape[:-1])
    if shape == input_shape:
        return "Add the batch axis: images[None]."
    # Before the channel axis that is missing: with one channel, (N, 1, Y, X) might be N films of one frame, too.
    if len(shape) in (n_axes + 1, n_axes + 2) and shape[-n_axes:] == first:
        return f"Move the channels last: np.moveaxis(images, {len(shape) - n_axes}, -1)."
    if n_channels == 1 and len(shape) == n_axes - 1 and shape == input_shape[:-1]:
        return "Add the axes of batch and channel: images[None, ..., None]."
    if n_channels == 1 and len(shape) in (n_axes, n_axes + 1) and shape[1 - n_axes :] == input_shape[:-1]:
        return "Add the channel axis: images[..., None]."
    if shape == first:
        return "Move the channels last and add the batch axis: np.moveaxis(images, 0, -1)[None]."
    if len(shape) == 2 and shape[1] == math.prod(input_shape):
        return f"Unflatten them: np.asarray(images).reshape((-1, {', '.join(map(str, input_shape))}))."
    if len(shape) in (n_axes + 1, n_axes + 2) and shape[-n_axes:-1] == input_shape[:-1]:
        return f"Give them {n_channels} channel{'s' if n_channels > 1 else ''}, as the model was built for."
    return "Resize or reshape them to what the model was built for."
