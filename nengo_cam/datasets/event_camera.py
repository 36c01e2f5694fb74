"""Event cameras: frames of their events, which networks take as moving input, and events of frames.

An event says that a pixel became brighter or darker: its column x, row y, time t and polarity p. Recordings are
arrays of events, in the order of time or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks.memory import check_room
from ..checks.parameters import check_count, check_positive, is_whole
from ..exceptions import ImageError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["EVENT", "event_frames", "record_events"]

#: An event as tonic has it; times in microseconds.
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.bool_)])
_MICROSECOND = 1e-6


def event_frames(
    events: ArrayLike,
    size: int | Sequence[int],
    window: float,
    step: float | None = None,
    *,
    time_unit: float | None = None,
    n_steps: int | None = None,
) -> NDArray[np.float32]:
    r"""Count the events of each pixel in windows of time: frames that `nengo_cam.spiking_cam` takes as moving input.

    Frame :math:`i` ends at :math:`e_i = t_0 + (i + 1)\,\mathrm{step}`, where :math:`t_0` is the time of the first
    event, and counts the events with :math:`e_i - \mathrm{window} \le t < e_i`. So the network sees at each step what
    has happened by then, and nothing that comes later. A window longer than the step overlaps with the last one.

    Parameters
    ----------
    events : array_like of shape (N,) with fields, or of shape (N, 4)
        Structured, with the fields x, y, t and p in any order, as tonic gives them (without y of a single row of
        pixels); or numbers in columns x, y, t, p. Polarities are False and True, 0 and 1, or -1 and 1.
    size : tuple of (int, int), or int
        Rows Y and columns X of the sensor, in this order [pixel]; a single number X where there is one row.
    window : float
        Duration that a frame counts [s].
    step : float, optional
        From one frame to the next [s]: the ``dt`` of the simulation. Default: the window.
    time_unit : float, optional
        What a unit of t is in seconds. Default: whole numbers are microseconds (1e-6), others seconds (1).
    n_steps : int, optional
        How many frames. Default: up to and with the last event.

    Returns
    -------
    ndarray of float32 of shape (T, Y, X, 2), or (T, X, 2) for one row
        Numbers of events, darker ones in channel 0 and brighter ones in channel 1. With ``[None]`` in front, the moving
        image of a network whose input has the shape (Y, X, 2).

    Raises
    ------
    ImageError
        If the array has another form, is empty, holds what is not a number, or an event outside of the sensor.
    ParameterError
        If ``size``, ``window``, ``step``, ``time_unit`` or ``n_steps`` is not valid.
    ResultSizeError
        If the frames would be larger than the memory that is free.

    Examples
    --------
    >>> events = [[0, 1, 0, 1], [2, 1, 400, 0], [2, 1, 1500, 0]]  # x, y, microseconds, polarity
    >>> frames = ncam.datasets.event_frames(events, (2, 3), 0.001)
    >>> frames.shape
    (2, 2, 3, 2)
    >>> frames[0, 1, 0, 1], frames[:, 1, 2, 0].tolist()
    (1.0, [1.0, 1.0])
    """
    check_positive("window", window, unit="seconds")
    step = window if step is None else step
    check_positive("step", step, unit="seconds")
    check_count("n_steps", n_steps, optional=True)
    shape = _sensor(size)
    places, times, polarities = _columns(events, shape)
    if time_unit is None:
        time_unit = _MICROSECOND if times.dtype.kind in "iub" else 1.0
    check_positive("time_unit", time_unit, unit="seconds")
    # Differences of whole microseconds are exact, and so is on which side of an edge an event is.
    since = (times - times.min()).astype(float)
    first = np.floor(since / _in_units(step, time_unit)).astype(np.int64)
    # The frames that still count it: those which end no later than a window after it.
    n_counting = _in_units(window, step)
    if n_counting == int(n_counting):
        # A quotient of its own could be rounded otherwise, and an event would be lost, or counted twice.
        after = first + int(n_counting)
    else:
        after = np.floor((since + _in_units(window, time_unit)) / _in_units(step, time_unit)).astype(np.int64)
    n_frames = int(first.max()) + 1 if n_steps is None else n_steps
    cells = (*shape, 2)
    check_room(
        # The counts of changes before the frames themselves.
        12 * (n_frames + 1) * math.prod(cells),
        what=f"events: {n_frames:,} frames of {'x'.join(map(str, shape))} pixels",
        remedy="Say what a unit of t is (time_unit=), take a longer step, or a part of the recording (n_steps=).",
    )
    cell = np.ravel_multi_index((*places, polarities), cells)
    changes = np.zeros((n_frames + 1, math.prod(cells)), np.int64)
    # An event enters the frames at one of them, and leaves them at another; beyond the last there is none.
    np.add.at(changes, (np.minimum(first, n_frames), cell), 1)
    np.add.at(changes, (np.minimum(after, n_frames), cell), -1)
    return np.cumsum(changes[:-1], axis=0).reshape((n_frames, *cells)).astype(np.float32)


def record_events(
    frames: ArrayLike, *, threshold: float = 0.1, dt: float = 0.001, events_per_second: int = 1_000_000
) -> NDArray[Any]:
    """Record a film as an ideal event camera does: a pixel sends an event each time that it has changed by a threshold.

    A pixel remembers the value at which it sent its last event. Within a step values move evenly, and so do the times
    of its events. No noise, no refractory time, and values instead of their logarithms, so that a black background has
    events of the same size.

    Parameters
    ----------
    frames : array_like of shape (T, Y, X) or (T, X)
        Brightness over time. The first frame is what the camera sees before it starts.
    threshold : float
        Change of an event, in units of brightness.
    dt : float
        From one frame to the next [s].
    events_per_second : int
        Ticks of the camera's clock in a second.

    Returns
    -------
    ndarray of shape (N,) with the fields x, y, t and p
        Events in the order of time, as tonic has them: t in ticks, by default microseconds; p is whether the pixel
        became brighter.

    Raises
    ------
    ImageError
        If the frames have another shape, are fewer than two, or hold what is not a finite number.
    ParameterError
        If ``threshold``, ``dt`` or ``events_per_second`` is not positive.

    Examples
    --------
    >>> film = np.zeros((3, 2, 2))
    >>> film[1:, 0, 1] = 0.25  # a pixel of the first row becomes brighter
    >>> ncam.datasets.record_events(film).tolist()
    [(1, 0, 400, True), (1, 0, 800, True)]
    """
    check_positive("threshold", threshold, unit="brightness")
    check_positive("dt", dt, unit="seconds")
    check_count("events_per_second", events_per_second)
    film = np.asarray(frames)
    if film.dtype.kind not in "buif" or film.ndim not in (2, 3) or len(film) < 2 or film.size == 0:
        raise ImageError(
            f"frames: expected numbers of shape (T, Y, X) or (T, X) with at least two frames, got {film.dtype} of "
            f"shape {film.shape}. Leave out the axes of images and channels."
        )
    film = film.astype(float)
    if not np.isfinite(film).all():
        raise ImageError("frames: expected finite numbers, got NaN or infinity. Replace them.")
    if film.ndim == 2:
        film = film[:, None]
    level, recorded = film[0].copy(), []
    for number, (before, now) in enumerate(zip(film[:-1], film[1:])):
        # A little more than the difference, so that a change of exactly n thresholds makes n events.
        counts = np.trunc((now - level) / threshold * (1 + 1e-9)).astype(np.int64)
        y, x = np.nonzero(counts)
        each = np.abs(counts[y, x])
        y, x, sign = (np.repeat(values, each) for values in (y, x, np.sign(counts[y, x])))
        # 1, 2, ... for the events of each pixel.
        nth = np.arange(len(y)) - np.repeat(np.cumsum(each) - each, each) + 1
        crossed = level[y, x] + sign * nth * threshold
        # A pixel whose level lags behind by less than a threshold crosses it from where it is now.
        change = (now - before)[y, x]
        share = np.divide(crossed - before[y, x], change, out=np.zeros(len(y)), where=change != 0).clip(0, 1)
        events = np.empty(len(y), EVENT)
        events["x"], events["y"], events["p"] = x, y, sign > 0
        events["t"] = np.rint((number + share) * dt * events_per_second)
        recorded.append(events)
        level += counts * threshold
    joined = np.concatenate(recorded)
    return joined[np.argsort(joined["t"], kind="stable")]


def _in_units(seconds, time_unit):
    """Bring a duration into units of time stamps: to a whole number of them if it is one but for rounding."""
    units = seconds / time_unit
    nearest = round(units)
    return float(nearest) if nearest and abs(units - nearest) < 1e-9 * nearest else units


def _sensor(size):
    values = [size] if np.ndim(size) == 0 else list(size)
    if len(values) not in (1, 2) or not all(is_whole(value) and value >= 1 for value in values):
        raise ParameterError(
            f"size: expected rows and columns of the sensor, whole numbers of at least 1, got {size!r}. Try (34, 34)."
        )
    return tuple(map(int, values))


def _columns(events, shape):
    """Return where on the sensor events are, their times, and their polarities as 0 and 1."""
    names = ("y", "x")[-len(shape) :]
    array = np.asarray(events)
    if array.dtype.names is not None:
        missing = [name for name in (*names, "t", "p") if name not in array.dtype.names]
        if missing or array.ndim != 1 or (len(shape) == 1 and "y" in array.dtype.names):
            raise ImageError(
                f"events: expected the fields {(*names, 't', 'p')} along one axis, got {array.dtype.names} of shape "
                f"{array.shape}. Name the fields so, and give size as the sensor is: rows and columns, or one number."
            )
        columns = {name: array[name] for name in (*names, "t", "p")}
    else:
        order = (*names[::-1], "t", "p")
        if array.dtype.kind not in "buif" or array.ndim != 2 or array.shape[1] != len(order):
            raise ImageError(
                f"events: expected a structured array, or numbers of shape (N, {len(order)}) in columns {order}, got "
                f"{array.dtype} of shape {array.shape}. Stack the columns in this order."
            )
        columns = dict(zip(order, array.T))
    if len(array) == 0:
        raise ImageError("events: none; expected at least one, got an empty array. Leave the recording out.")
    for name, values in columns.items():
        whole = values.dtype.kind in "iub" or (values.dtype.kind == "f" and np.isfinite(values).all())
        if not whole or (name in names and (values != np.floor(values)).any()):
            raise ImageError(
                f"events: {name!r} holds what is no {'pixel' if name in names else 'finite number'}; expected numbers, "
                f"got {values[:3]!r}. Leave these events out."
            )
    for name, n_pixels in zip(names, shape):
        low, high = int(columns[name].min()), int(columns[name].max())
        if low < 0 or high >= n_pixels:
            raise ImageError(
                f"events: {name!r} lies outside of the sensor; expected from 0 to {n_pixels - 1}, got from {low} to "
                f"{high}. Give size as (rows, columns)."
            )
    known = set(np.unique(columns["p"]).tolist())
    if not (known <= {0, 1} or known <= {-1, 1}):
        raise ImageError(
            f"events: polarities of {len(known)} kinds; expected 0 and 1, or -1 and 1, got {sorted(known)[:5]}. Are "
            "the columns x, y, t, p?"
        )
    times = columns["t"]
    if times.dtype.kind in "iu":
        # The difference of unsigned numbers, or of short ones, may be no number of their kind.
        times = times.astype(np.int64)
    places = [columns[name].astype(np.int64) for name in names]
    return places, times, (columns["p"] > 0).astype(np.int64)
