"""Neurons that spike over a chunk of time, in one pass over memory.

Spikes are whole numbers of floating-point type, as everywhere in Nengo: Python's ``floor`` would make 64-bit integers
of them, and a current that is too large for these would give zero spikes or negative ones, without an error.
"""

from __future__ import annotations

import numpy as np

from .compiled import compiled

__all__ = [
    "integrate_and_fire",
    "integrate_and_fire_clipped",
    "integrate_and_fire_signed",
    "integrate_and_fire_signed_clipped",
    "sigma_delta",
    "sigma_delta_is_settled",
]

#: Neurons that are taken through all steps together: their voltages stay in the processor's nearest cache.
_TOGETHER = 2**12


@compiled
def integrate_and_fire(
    current: np.ndarray,
    shift: int,
    still: np.ndarray,
    voltage: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
    dt: float,
    height: float,
    rectified: bool,
    floor: float,
) -> None:
    """Integrate, fire, subtract, as `nengo_cam.IntegrateAndFire` does.

    Parameters
    ----------
    current : ndarray of shape (steps or 1, size)
        Input of the neurons from number ``shift`` on.
    shift : int
        See there.
    still : ndarray of shape (size,)
        What is added to the input at all steps.
    voltage : ndarray of shape (size,)
        Membrane voltages, changed in place.
    out : ndarray of shape (steps, size)
        Takes the output.
    start, stop : int
        Which neurons to advance.
    dt : float
        What the input is multiplied by, in the arrays' precision.
    height : float
        Output for one spike, likewise.
    rectified : bool
        Whether negative input is dropped, as `nengo.SpikingRectifiedLinear` does.
    floor : float
        Lowest voltage that a step leaves, in the arrays' precision; minus infinity for none.
    """
    none = height - height
    for first in range(start, stop, _TOGETHER):
        last = min(first + _TOGETHER, stop)
        v, constant = voltage[first:last], still[first:last]
        for step in range(len(out)):
            moving = current[step if len(current) > 1 else 0, first - shift : last - shift]
            output = out[step, first:last]
            for i in range(len(v)):
                total = moving[i] + constant[i]
                if rectified and total < 0:
                    total = none
                u = v[i] + total * dt
                n = np.floor(u)
                if n < none:
                    n = none
                v[i] = max(u - n, floor)
                output[i] = n * height


@compiled
def integrate_and_fire_signed(
    current: np.ndarray,
    shift: int,
    still: np.ndarray,
    voltage: np.ndarray,
    spike_count: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
    dt: float,
    height: float,
    negative_threshold: float,
    memory: float,
) -> None:
    """Integrate, fire or take spikes back, subtract, as `nengo_cam.SignedIntegrateAndFire` does.

    Parameters
    ----------
    current, shift, still, voltage, out, start, stop, dt, height
        As for `integrate_and_fire`.
    spike_count : ndarray of shape (size,)
        Spikes sent and not taken back, changed in place.
    negative_threshold : float
        Voltage below zero at which a spike is taken back, in the arrays' precision.
    memory : float
        Spikes and thresholds that are remembered, likewise; infinity for all.
    """
    none = height - height
    for first in range(start, stop, _TOGETHER):
        last = min(first + _TOGETHER, stop)
        v, count, constant = voltage[first:last], spike_count[first:last], still[first:last]
        for step in range(len(out)):
            moving = current[step if len(current) > 1 else 0, first - shift : last - shift]
            output = out[step, first:last]
            for i in range(len(v)):
                u = v[i] + (moving[i] + constant[i]) * dt
                n = np.floor(u)
                # At most as many are taken back as were sent.
                if u < none:
                    n = max(min(np.floor(u + negative_threshold), none), -count[i])
                v[i], count[i] = u - n, min(count[i] + n, memory)
                if count[i] <= none:
                    v[i] = max(v[i], -memory)
                output[i] = n * height


@compiled
def integrate_and_fire_clipped(
    current: np.ndarray,
    shift: int,
    still: np.ndarray,
    voltage: np.ndarray,
    allowance: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
    dt: float,
    height: float,
    floor: float,
    allowed: np.ndarray,
) -> None:
    """Integrate, fire what is allowed, subtract, as `nengo_cam.ClippedIntegrateAndFire` does.

    Parameters
    ----------
    current, shift, still, voltage, out, start, stop, dt, height, floor
        As for `integrate_and_fire`.
    allowance : ndarray of shape (size,)
        Spikes that are allowed and not sent, changed in place.
    allowed : ndarray of shape (size,)
        What it grows by at each step.
    """
    none = height - height
    for first in range(start, stop, _TOGETHER):
        last = min(first + _TOGETHER, stop)
        v, left, constant, growth = voltage[first:last], allowance[first:last], still[first:last], allowed[first:last]
        for step in range(len(out)):
            moving = current[step if len(current) > 1 else 0, first - shift : last - shift]
            output = out[step, first:last]
            for i in range(len(v)):
                u = v[i] + (moving[i] + constant[i]) * dt
                limit = left[i] + growth[i]
                n = np.floor(min(u, limit))
                if n < none:
                    n = none
                v[i] = max(u - n, floor)
                left[i] = limit - n
                output[i] = n * height


@compiled
def integrate_and_fire_signed_clipped(
    current: np.ndarray,
    shift: int,
    still: np.ndarray,
    voltage: np.ndarray,
    spike_count: np.ndarray,
    allowance: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
    dt: float,
    height: float,
    negative_threshold: float,
    memory: float,
    allowed: np.ndarray,
) -> None:
    """Integrate, fire what is allowed or take back, as `nengo_cam.SignedClippedIntegrateAndFire` does.

    Parameters
    ----------
    current, shift, still, voltage, out, start, stop, dt, height
        As for `integrate_and_fire`.
    spike_count, negative_threshold, memory
        As for `integrate_and_fire_signed`.
    allowance, allowed
        As for `integrate_and_fire_clipped`.
    """
    none = height - height
    for first in range(start, stop, _TOGETHER):
        last = min(first + _TOGETHER, stop)
        v, count, constant = voltage[first:last], spike_count[first:last], still[first:last]
        left, growth = allowance[first:last], allowed[first:last]
        for step in range(len(out)):
            moving = current[step if len(current) > 1 else 0, first - shift : last - shift]
            output = out[step, first:last]
            for i in range(len(v)):
                u = v[i] + (moving[i] + constant[i]) * dt
                limit = left[i] + growth[i]
                n = np.floor(min(u, limit))
                # At most as many are taken back as were sent.
                if u < none:
                    n = max(min(np.floor(u + negative_threshold), none), -count[i])
                v[i], count[i] = u - n, min(count[i] + n, memory)
                if count[i] <= none:
                    v[i] = max(v[i], -memory)
                left[i] = limit - n
                output[i] = n * height


@compiled
def sigma_delta(
    current: np.ndarray,
    shift: int,
    still: np.ndarray,
    level: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
    height: float,
    quantum: float,
    threshold: float,
    half: float,
    steps_of_size: float,
    largest_goal: np.ndarray,
) -> None:
    """Send what is missing in the level, as `nengo_cam.SigmaDelta` does.

    Parameters
    ----------
    current, shift, still, out, start, stop
        As for `integrate_and_fire`.
    level : ndarray of shape (size,)
        Levels [quanta], changed in place.
    height : float
        Output for one quantum, in the arrays' precision, as are the numbers that follow.
    quantum, threshold : float
        As the neurons have them.
    half : float
        One half.
    steps_of_size : float
        2 to the power of the bits: a spike is fewer units than that. Infinity for graded spikes.
    largest_goal : ndarray of shape (size,)
        Input at which the output is clipped.
    """
    none, one = height - height, half + half
    for first in range(start, stop, _TOGETHER):
        last = min(first + _TOGETHER, stop)
        c, constant, largest = level[first:last], still[first:last], largest_goal[first:last]
        for step in range(len(out)):
            moving = current[step if len(current) > 1 else 0, first - shift : last - shift]
            output = out[step, first:last]
            for i in range(len(c)):
                goal = moving[i] + constant[i]
                # In this order what is not a number stays so, and gets into the level.
                if goal < none:
                    goal = none
                if goal > largest[i]:
                    goal = largest[i]
                error = goal / quantum - c[i]
                size = abs(error)
                if not size < threshold:
                    unit = one
                    # Doubled, not taken from a logarithm, which is rounded. Most spikes are small.
                    while unit * steps_of_size <= size < np.inf:
                        unit += unit
                    change = unit * np.floor(size / unit + half)
                    c[i] += change if error > none else -change
                output[i] = c[i] * height


@compiled
def sigma_delta_is_settled(
    current: np.ndarray,
    shift: int,
    still: np.ndarray,
    level: np.ndarray,
    start: int,
    stop: int,
    quantum: float,
    threshold: float,
    largest_goal: np.ndarray,
) -> bool:
    """Tell whether no neuron would send anything if the last step's input came again.

    Parameters
    ----------
    current, shift, still, level, start, stop, quantum, threshold, largest_goal
        As for `sigma_delta`, the levels after it.

    Returns
    -------
    bool
    """
    none, last = threshold - threshold, len(current) - 1
    for i in range(start, stop):
        # Rounded as the scan rounds, or a neuron at its threshold would send a step later after all.
        goal = current[last, i - shift] + still[i]
        if goal < none:
            goal = none
        if goal > largest_goal[i]:
            goal = largest_goal[i]
        if not abs(goal / quantum - level[i]) < threshold:
            return False
    return True
