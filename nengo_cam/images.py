"""Images as the user gives them, checked before any simulation."""

import numpy as np

from .exceptions import ImageError

__all__ = ["check_images"]


def check_images(images, input_shape, *, n_steps=None, name="images"):
    """Check that an array holds images that a network takes.

    Parameters
    ----------
    images : array_like of shape (N, *input_shape) or (N, T, *input_shape)
        Still images, or moving ones with one frame per time step. Booleans, integers and floats are taken as they
        are; nothing is scaled.
    input_shape : tuple of int
        Shape of an image that the network expects, such as (Y, X, channels).
    n_steps : int or None
        Time steps that the network will run, which moving images have to have. None allows any number.
    name : str
        What to call the array in errors.

    Returns
    -------
    ndarray of float32
        The images, of the same shape.

    Raises
    ------
    ImageError
        If the shape does not fit, the batch is empty, the dtype is not a real number, or a value is NaN or infinite.
    """
    try:
        array = np.asarray(images)
    except ValueError as err:
        raise ImageError(
            f"{name}: the images have different shapes; expected one array, got a ragged list. Resize them first."
        ) from err
    input_shape = tuple(input_shape)
    if array.dtype.kind not in "biuf":
        raise ImageError(
            f"{name}: expected real numbers, got dtype {array.dtype}. Convert them with astype('float32').",
            dtype=str(array.dtype),
        )
    n_axes = len(input_shape)
    if array.ndim not in (n_axes + 1, n_axes + 2) or array.shape[-n_axes:] != input_shape:
        raise ImageError(
            f"{name}: wrong shape; expected (N, {', '.join(map(str, input_shape))}) or (N, T, "
            f"{', '.join(map(str, input_shape))}), got {array.shape}. {_shape_remedy(array.shape, input_shape)}",
            shape=array.shape,
        )
    if array.size == 0:
        raise ImageError(f"{name}: expected at least one image, got an array of shape {array.shape}. Pass some images.")
    if array.ndim == n_axes + 2 and n_steps is not None and array.shape[1] != n_steps:
        raise ImageError(
            f"{name}: moving images have one frame per time step; expected {n_steps} frames, got {array.shape[1]}. "
            f"Set n_steps={array.shape[1]} or repeat frames."
        )
    with np.errstate(over="ignore"):
        # Checked in the precision of the network: what is finite in double may not be.
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        bad = sorted(set(np.argwhere(~np.isfinite(array))[:, 0].tolist()))
        raise ImageError(
            f"{name}: expected finite values, got NaN or infinity in image{'s' if len(bad) > 1 else ''} "
            f"{', '.join(map(str, bad[:10]))}{' and more' if len(bad) > 10 else ''}. Remove or repair them.",
            images=bad,
        )
    return array


def _shape_remedy(shape, input_shape):
    """Say which of the common slips this is."""
    if shape == input_shape:
        return "Add the batch axis: images[None]."
    if input_shape[-1] == 1 and shape[1 - len(input_shape) :] == input_shape[:-1]:
        return "Add the channel axis: images[..., None]."
    if len(shape) == len(input_shape) + 1 and (*shape[2:], shape[1]) == input_shape:
        return "Move the channels last: np.moveaxis(images, 1, -1)."
    return "Resize or reshape them to what the model was built for."
