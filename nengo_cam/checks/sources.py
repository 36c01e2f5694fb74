"""Images that need not fit into memory: read and checked block of rows by block, as arrays are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, Union, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import ImageError
from .images import check_images, check_shape

__all__ = ["CheckedImages", "FrameBatches", "ImageSource"]


@runtime_checkable
class ImageSource(Protocol):
    """What gives images a block of rows at a time.

    Attributes
    ----------
    shape : tuple of int
        ``(N, Y, X, channels)`` of N still images, or ``(N, T, Y, X, channels)`` of moving ones.

    Examples
    --------
    >>> class Repeated:
    ...     shape = (1_000_000, 28, 28, 1)
    ...
    ...     def read_rows(self, start, stop):
    ...         return np.full((stop - start, *self.shape[1:]), 0.5)
    >>> isinstance(Repeated(), ncam.checks.sources.ImageSource)
    True
    """

    shape: tuple[int, ...]

    def read_rows(self, start: int, stop: int) -> ArrayLike:
        """Read images.

        Parameters
        ----------
        start, stop : int
            The first, and the one behind the last.

        Returns
        -------
        array_like of shape (stop - start, ...)
            As many as asked for, as `nengo_cam.checks.images.check_images` takes them.
        """


#: What users may give as images.
Images = Union[ArrayLike, ImageSource]


class CheckedImages:
    """Images that a network takes: of an array, all checked at once; of a source, each block when it is read.

    Parameters
    ----------
    images : array_like or ImageSource
        What the user gave.
    input_shape, n_steps, name
        As for `nengo_cam.checks.images.check_images`.

    Attributes
    ----------
    shape : tuple of int
        Shape of all images.
    array : ndarray of float32, or None
        All of them, if they are in memory.

    Raises
    ------
    ImageError
        If they do not fit: an array as `nengo_cam.checks.images.check_images` says, a source if its shape does not fit.
    """

    def __init__(
        self, images: Images, input_shape: tuple[int, ...], *, n_steps: int | None = None, name: str = "images"
    ) -> None:
        self._input_shape = tuple(input_shape)
        self._name = name
        self._source: Any = None
        self.array: NDArray[np.float32] | None = None
        if isinstance(images, ImageSource):
            self.shape = tuple(int(size) for size in images.shape)
            check_shape(self.shape, self._input_shape, n_steps=n_steps, name=name)
            self._source = images
        else:
            self.array = check_images(images, self._input_shape, n_steps=n_steps, name=name)
            self.shape = self.array.shape

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def moving(self) -> bool:
        """Whether each image has frames."""
        return len(self.shape) == len(self._input_shape) + 2

    def read(self, rows: slice) -> NDArray[np.float32]:
        """Read and check a block.

        Parameters
        ----------
        rows : slice
            Which images; start and stop are in range.

        Returns
        -------
        ndarray of float32 of shape (rows, ...)

        Raises
        ------
        ImageError
            If what a source gives is not as many images of the shape that it says, or holds what an array may not.
        """
        if self.array is not None:
            return self.array[rows]
        name = f"{self._name}, rows {rows.start} to {rows.stop - 1} of the source"
        block = check_images(
            self._source.read_rows(rows.start, rows.stop), self._input_shape, name=name, first=rows.start
        )
        expected = (rows.stop - rows.start, *self.shape[1:])
        if block.shape != expected:
            raise ImageError(
                f"{name}: wrong shape; expected {expected}, got {block.shape}. Give as many images as are asked for.",
                shape=block.shape,
            )
        return block

    def frames(self, n: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Read all frames, some at a time, whichever images they are of.

        Parameters
        ----------
        n : int
            How many at a time. No more images than that are read at once.

        Yields
        ------
        positions : slice
            Which frames, counted over all images.
        frames : ndarray of float32 of shape (n, ...)
            The frames; of the last there may be fewer.

        Raises
        ------
        ImageError
            As for `read`.
        """
        n_rows = max(1, n // self.shape[1]) if self.moving else n
        batches, position = FrameBatches(n), 0
        for start in range(0, len(self), n_rows):
            block = self.read(slice(start, min(start + n_rows, len(self))))
            is_last = start + n_rows >= len(self)
            for frames in batches.add(block.reshape((-1, *self._input_shape)), last=is_last):
                yield slice(position, position + len(frames)), frames
                position += len(frames)


class FrameBatches:
    """Frames that come in blocks of any size, put into batches of one size.

    Which frames run together decides the last bits of what a CNN makes of them, so that is the same however many come
    at a time.

    Parameters
    ----------
    size : int
        Frames of a batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: list[NDArray[Any]] = []

    def add(self, frames: NDArray[Any], *, last: bool = False) -> Iterator[NDArray[Any]]:
        """Add frames, and give the batches that are full.

        Parameters
        ----------
        frames : ndarray of shape (n, ...)
            The next ones.
        last : bool
            Whether no more will come: those left over then make a last batch.

        Yields
        ------
        ndarray of shape (size, ...), of the last one perhaps fewer
        """
        waiting = np.concatenate([*self._waiting, frames]) if self._waiting else frames
        n_full = len(waiting) if last else len(waiting) // self._size * self._size
        for start in range(0, n_full, self._size):
            yield waiting[start : min(start + self._size, n_full)]
        # A copy: a view would keep the whole block alive.
        self._waiting = [waiting[n_full:].copy()] if n_full < len(waiting) else []
