"""What a result keeps of a run: every step as it is, or chosen steps, as they are or as running means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import ParameterError

__all__ = ["KeptSteps", "nearest_steps"]


class KeptSteps:
    """Arrays over images and time that are filled chunk after chunk, each with a name.

    Parameters
    ----------
    n_images, n_steps : int
        Images, and steps of the run.
    steps : ndarray of int or None
        Steps that are kept, increasing; None keeps every step as it is.
    shapes : dict of {str: tuple of int}
        What is kept of an image at a time, by name.
    means : bool
        Whether to keep running means up to the chosen steps, or these steps themselves.

    Attributes
    ----------
    arrays : dict of {str: ndarray of shape (n_images, times, ...)}
        What was kept.
    """

    def __init__(
        self,
        n_images: int,
        n_steps: int,
        steps: NDArray[np.int64] | None,
        shapes: dict[str, tuple[int, ...]],
        *,
        means: bool = True,
    ) -> None:
        self._steps = steps
        self._means = means and steps is not None
        self._shapes = shapes
        self._leading = (n_images, n_steps if steps is None else len(steps))
        self._sums: dict[str, Any] = {}
        self.arrays: dict[str, NDArray[Any]] = {}

    @property
    def n_times(self) -> int:
        """Number of times that are kept."""
        return self._leading[1]

    def put(self, name: str, rows: slice, steps: slice, values: NDArray[Any]) -> None:
        """Take a chunk into account; those of an image come in order.

        Parameters
        ----------
        name : str
            Which array.
        rows, steps : slice
            Which images and steps.
        values : ndarray of shape (rows, steps or 1, ...)
            What was measured; one step if it is the same at all of them.
        """
        if name not in self.arrays:
            # In the simulator's own precision, which the first chunk tells; means of counts are no counts.
            dtype = values.dtype if not self._means or values.dtype.kind == "f" else float
            self.arrays[name] = np.empty((*self._leading, *self._shapes[name]), dtype)
        if values.shape[1] == 1:
            # Channels may come last in memory: put into order once, not for each step that it is repeated for.
            values = np.ascontiguousarray(values)
        if self._steps is None:
            self.arrays[name][rows, steps] = values
            return
        values = np.broadcast_to(values, (len(values), steps.stop - steps.start, *values.shape[2:]))
        if self._means:
            self._put_means(self._steps, name, rows, steps, values)
        else:
            first, last = np.searchsorted(self._steps, (steps.start, steps.stop))
            self.arrays[name][rows, first:last] = values[:, self._steps[first:last] - steps.start]

    def _put_means(self, kept: NDArray[np.int64], name: str, rows: slice, steps: slice, values: NDArray[Any]) -> None:
        """Add a chunk up, and keep the mean at each of the steps that are wanted."""
        # A minibatch runs to its end before the next begins: one sum will do, and starts anew with the first step.
        total = 0 if steps.start == 0 else self._sums[name]
        begin = steps.start
        first, last = np.searchsorted(kept, (steps.start, steps.stop))
        for position in range(first, last):
            end = kept[position] + 1
            total = total + values[:, begin - steps.start : end - steps.start].sum(axis=1, dtype=float)
            self.arrays[name][rows, position] = total / end
            begin = end
        self._sums[name] = total + values[:, begin - steps.start :].sum(axis=1, dtype=float)


def nearest_steps(times: ArrayLike, n_steps: int, dt: float) -> NDArray[np.int64]:
    """Turn times [s] into the steps nearest to them.

    Parameters
    ----------
    times : float or array_like of float
        Times [s].
    n_steps : int
        Steps of the run.
    dt : float
        Time step [s].

    Returns
    -------
    ndarray of int
        Steps, counted from 0, increasing, each once.

    Raises
    ------
    ParameterError
        If there is no time, or one is not in the run.
    """
    try:
        wanted = np.atleast_1d(np.asarray(times, dtype=float))
    except (TypeError, ValueError):
        # Refused below, with what was given.
        wanted = np.array([])
    steps = np.rint(wanted / dt) - 1
    if wanted.ndim != 1 or wanted.size == 0 or not ((steps >= 0) & (steps < n_steps)).all():
        raise ParameterError(
            f"times: not in the run; expected at least one time from {dt:g} to {n_steps * dt:g} s, got {times!r}. Give "
            "times in seconds."
        )
    return np.unique(steps.astype(int))
