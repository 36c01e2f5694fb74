"""Integrate-and-fire neurons over a chunk of time, in one pass over memory.

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
                v[i] = u - n
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
                v[i] = u - n
                count[i] += n
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
    allowed: np.ndarray,
) -> None:
    """Integrate, fire what is allowed, subtract, as `nengo_cam.ClippedIntegrateAndFire` does.

    Parameters
    ----------
    current, shift, still, voltage, out, start, stop, dt, height
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
                v[i] = u - n
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
    allowed: np.ndarray,
) -> None:
    """Integrate, fire what is allowed or take back, as `nengo_cam.SignedClippedIntegrateAndFire` does.

    Parameters
    ----------
    current, shift, still, voltage, out, start, stop, dt, height
        As for `integrate_and_fire`.
    spike_count, negative_threshold
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
                v[i] = u - n
                count[i] += n
                left[i] = limit - n
                output[i] = n * height
