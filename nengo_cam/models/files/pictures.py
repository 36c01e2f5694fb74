"""Pictures in PNG and JPEG files."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings

import numpy as np

from ...exceptions import InputFileError, ParameterError
from .limits import allowed_bytes, check_bytes

__all__ = ["FITS", "PICTURE_SUFFIXES", "check_fit", "load_picture", "picture_size"]

#: Suffixes of pictures that are read.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
#: Ways to bring a picture to the shape that a model takes: cut off what is too much, add gray bars, or squash it.
FITS = ("crop", "pad", "stretch")
#: Of the bars: the middle of the range, whichever range the model takes.
_GREY = 127
#: Whatever the suffix says, Pillow chooses by content, and some of its formats start other programs.
_FORMATS = ("PNG", "JPEG")
#: Channels of the widest form that a picture takes on the way.
_CHANNELS = 4
# Entry of EXIF that says how the camera was held, and its values for upright pictures that are stored on their side.
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
_LOCK = threading.Lock()


def load_picture(
    path: str | os.PathLike,
    size: tuple[int, int] | None,
    channels: int | None,
    max_bytes: int | None = None,
    fit: str = "stretch",
) -> np.ndarray:
    """Load a picture.

    Parameters
    ----------
    path : pathlib.Path
        A PNG or JPEG file.
    size : tuple of int or None
        (Y, X) that it is resized to.
    channels : int or None
        1 turns it gray.
    max_bytes : int, optional
        How large the unpacked picture may be, four bytes a pixel, see `nengo_cam.models.files.limits.allowed_bytes`
        [byte].
    fit : {"crop", "pad", "stretch"}
        What becomes of a picture of another shape than ``size``.

    Returns
    -------
    ndarray of shape (1, Y, X, channels)
        Pixels from 0 to 255.

    Raises
    ------
    InputFileError
        If it is no such picture, broken, too large, or holds several.
    """
    subject = f"images {str(path)!r}"
    limit = allowed_bytes(path, max_bytes)
    try:
        with _opened(path) as picture:
            n_bytes = picture.size[0] * picture.size[1] * _CHANNELS
            check_bytes(subject, n_bytes, limit, f"a picture of {picture.size[0]} x {picture.size[1]} pixels")
            # A JPEG may carry a preview or a map of depth behind it; frames of a PNG are a film.
            if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
                raise InputFileError(
                    f"{subject}: expected one picture, got a film of {picture.n_frames} frames. Save one of them."
                )
            picture = _plain(picture, "L" if channels == 1 else "RGB")
            if size is not None and picture.size != (size[1], size[0]):
                picture = _resized(picture, (size[1], size[0]), fit)
            array = np.asarray(picture)
    except InputFileError:
        raise
    except Exception as err:
        # Pillow raises whatever the bytes at fault lead to: OSError, SyntaxError, struct.error, zlib.error and others.
        raise _unreadable(path, err) from err
    return array.reshape((1, *array.shape[:2], -1))


def check_fit(fit: str) -> None:
    """Check a way to bring pictures to the shape that a model takes.

    Parameters
    ----------
    fit : object
        What the user gave.

    Raises
    ------
    ParameterError
        If it is none of `FITS`.
    """
    if fit not in FITS:
        raise ParameterError(f"fit: unknown; expected one of {list(FITS)}, got {fit!r}. Choose one.")


def picture_size(path: str | os.PathLike) -> tuple[int, int]:
    """Return how large a picture is, without unpacking it.

    Parameters
    ----------
    path : pathlib.Path
        A PNG or JPEG file.

    Returns
    -------
    tuple of int
        (Y, X) of the picture when it stands upright [pixel].

    Raises
    ------
    InputFileError
        If it is no such picture.
    """
    try:
        with _opened(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    except Exception as err:
        raise _unreadable(path, err) from err
    return (width, height) if turned else (height, width)


def _unreadable(path, err):
    return InputFileError(
        f"images {str(path)!r}: it cannot be read as a picture ({type(err).__name__}: {err}); expected PNG or JPEG. "
        "Save it again."
    )


def _resized(picture, size, fit):
    from PIL import Image, ImageOps

    how = Image.Resampling.BILINEAR
    if fit == "crop":
        return ImageOps.fit(picture, size, how)
    if fit == "pad":
        return ImageOps.pad(picture, size, how, color=_GREY if picture.mode == "L" else (_GREY,) * 3)
    return picture.resize(size, how)


@contextlib.contextmanager
def _opened(path):
    """Open a picture of any size; nothing is unpacked yet."""
    from PIL import Image

    # Pillow's own limit is one for the whole process, and cannot be passed.
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            picture = Image.open(path, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with picture:
        yield picture


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
