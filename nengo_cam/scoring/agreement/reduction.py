"""Maps and logits averaged or smoothed over time.

Both are linear, and so is a map in its features: the reduced map is the map of the reduced activity. Levels that
receivers hold are not averaged: each step is an estimate by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ...checks.parameters import is_real, is_whole
from ...exceptions import ParameterError, ResultError
from ..positions import describe, remedy_of_arrays
from ..readout import LEVEL_AT_STEP, holds_level, reduction_of

if TYPE_CHECKING:
    from nengo.synapses import Synapse

__all__ = ["check_burn_in", "cumulative", "smooth"]


def cumulative(spiking: xr.Dataset, *, burn_in: int = 0) -> xr.Dataset:
    r"""Average maps and logits over time, from the first step up to each.

    At step :math:`t` the result holds :math:`\frac{1}{t - b} \sum_{s=b+1}^{t} x_s`, with a burn-in of :math:`b` steps.
    Averaging is linear, so mean over positions + bias = logit still holds.

    It is how unit spikes are read (``attrs["readout"]`` "mean"). Where receivers hold a level ("level"), as of
    `nengo_cam.SigmaDelta`, the last step is the estimate, and its mean with earlier ones would be a worse one: such a
    result is given back as it is.

    Parameters
    ----------
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`, with a time dimension.
    burn_in : int
        Number of first steps that are left out: they carry the transient of a network that starts empty. The result
        is NaN there.

    Returns
    -------
    xarray.Dataset
        The same variables and dims; counts that are averaged become floats. ``attrs["time_reduction"]`` says what was
        done, of levels "level at each step".

    Raises
    ------
    ResultError
        If there is no time dimension, the maps are reduced over time already, or their readout is not known.
    ParameterError
        If ``burn_in`` is not a whole number of steps, fewer than there are.

    Examples
    --------
    >>> averaged = ncam.cumulative(spiking)
    >>> bool(np.allclose(averaged.cam.isel(time=-1), spiking.cam.mean("time"), atol=1e-3))
    True
    >>> averaged.attrs["time_reduction"]
    'running mean'

    Nothing is averaged of a level that is held:

    >>> held = spiking.assign_attrs(readout="level")
    >>> bool((ncam.cumulative(held).cam == held.cam).all())
    True
    """
    _check_unreduced(spiking)
    n_steps = spiking.sizes["time"]
    check_burn_in(burn_in, n_steps)
    left_out = f" without the first {burn_in} steps" if burn_in else ""
    if holds_level(spiking):
        return _without_first(spiking, burn_in).assign_attrs(time_reduction=LEVEL_AT_STEP + left_out)

    def average(steps, out):
        out[:burn_in] = np.nan
        total = np.zeros(steps.shape[1:])
        for i in range(burn_in, n_steps):
            total += steps[i]
            out[i] = total / (i + 1 - burn_in)

    return _reduced(spiking, average, f"running mean{left_out}")


def smooth(spiking: xr.Dataset, synapse: Synapse | float) -> xr.Dataset:
    r"""Filter maps and logits over time by a synapse.

    A time constant :math:`\tau` stands for Nengo's ``Lowpass(tau)``, discretised as Nengo does (zero-order hold [1]_):
    :math:`y_t = a\, y_{t-1} + (1 - a)\, x_t` with :math:`a = e^{-dt / \tau}` and :math:`y_0 = 0`, without delay.
    What is filtered of the logits is logit - bias, which the features cause; the bias is there from the start. So
    mean over positions + bias = logit still holds.

    A level that receivers hold may be smoothed as well; it need not be, as it holds no noise of single spikes.

    Parameters
    ----------
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`, with a time dimension.
    synapse : nengo.synapses.Synapse or float
        A synapse of Nengo's, all of which are linear; or the time constant of a lowpass filter [s].

    Returns
    -------
    xarray.Dataset
        The same variables and dims; counts become floats. ``attrs["time_reduction"]`` says what was done.

    Raises
    ------
    ResultError
        If there is no time dimension, time steps are not even, the maps are reduced over time already, their readout is
        not known, or there are logits but no bias.
    ParameterError
        If ``synapse`` is neither a synapse nor a positive number.

    References
    ----------
    .. [1] Voelker and Eliasmith (2018). Improving Spiking Dynamical Networks: Accurate Delays, Higher-Order Synapses,
       and Time Cells. Neural Computation 30(3), 569-609.

    Examples
    --------
    >>> smoothed = ncam.smooth(spiking, 0.005)
    >>> smoothed.attrs["time_reduction"]
    'smoothed by Lowpass(tau=0.005)'
    >>> ncam.completeness_error(smoothed) < 1e-5
    True
    """
    _check_unreduced(spiking)
    dt = _time_step(spiking)
    if is_real(synapse) and 0 < synapse < np.inf:
        tau = float(synapse)
        decay = np.exp(-dt / tau)

        def apply(steps, out):
            state = np.zeros(steps.shape[1:])
            for step, filtered in zip(steps, out):
                state *= decay
                state += (1 - decay) * step
                filtered[...] = state

        name = f"Lowpass(tau={tau!r})"
    elif callable(getattr(synapse, "filt", None)) and not isinstance(synapse, type):

        def apply(steps, out):
            # Image by image, as `filt` works in double precision; flat, as Nengo 3 takes no more than two axes.
            for i in range(steps.shape[1]):
                image = steps[:, i].astype(float)
                filtered = synapse.filt(image.reshape(len(image), -1), dt=dt, axis=0, y0=0)
                out[:, i] = filtered.reshape(image.shape)

        name = str(synapse)
    else:
        raise ParameterError(
            f"synapse: expected a synapse of Nengo's or a positive time constant in seconds, got {synapse!r}. Try "
            "synapse=0.01."
        )
    if "logits" not in spiking:
        return _reduced(spiking, apply, f"smoothed by {name}")
    missing = "bias" if "bias" not in spiking else "all_bias"
    if missing not in spiking and (missing == "bias" or "all_logits" in spiking):
        raise ResultError(
            f"spiking: it has logits but no bias, which must not be filtered; expected the variable {missing!r}, got "
            f"{list(spiking.data_vars)}. Pass the result of spiking_cam, or drop the logits."
        )
    # Those of the CNN have time if the input moves; the bias is that of the readout before any further training.
    biases = {"logits": "bias", "cnn_logits": "bias", "all_logits": "all_bias", "all_cnn_logits": "all_bias"}
    offsets = {name: spiking[bias] for name, bias in biases.items() if name in spiking and "time" in spiking[name].dims}
    caused = {name: _keep(spiking[name].astype(float) - bias, spiking[name]) for name, bias in offsets.items()}
    result = _reduced(spiking.assign(caused), apply, f"smoothed by {name}")
    logits = {name: (result[name] + bias).astype(_floating(spiking[name].dtype)) for name, bias in offsets.items()}
    return result.assign({name: _keep(values, spiking[name]) for name, values in logits.items()})


def check_burn_in(burn_in: Any, n_steps: int) -> None:
    """Check a number of first steps that are left out.

    Parameters
    ----------
    burn_in : object
        What the user gave.
    n_steps : int
        Number of time steps.

    Raises
    ------
    ParameterError
        If it is not a whole number from 0 to ``n_steps - 1``.
    """
    if not is_whole(burn_in) or not 0 <= burn_in < n_steps:
        raise ParameterError(
            f"burn_in: expected a whole number of steps from 0 to {n_steps - 1}, less than n_steps, got {burn_in!r}. "
            "Try burn_in=0."
        )


def _check_unreduced(spiking):
    if not isinstance(spiking, xr.Dataset) or "time" not in spiking.dims:
        raise ResultError(
            f"spiking: expected a Dataset with a time dimension, got {describe(spiking)}. "
            + remedy_of_arrays(spiking, "Pass the result of spiking_cam.")
        )
    if reduction_of(spiking):
        raise ResultError(
            f"spiking: it is averaged over time already, or smoothed; expected what spiking_cam gives, got "
            f"{spiking.attrs['time_reduction']!r}. Reduce it once."
        )


def _without_first(spiking, burn_in):
    """Leave out the first steps, as a mean does that begins after them; everything else stays what it is."""
    if not burn_in:
        return spiking
    over_time = {name: values for name, values in spiking.data_vars.items() if "time" in values.dims}
    late = xr.DataArray(np.arange(spiking.sizes["time"]) >= burn_in, dims="time")
    return spiking.assign({name: _keep(values.where(late), values) for name, values in over_time.items()})


def _time_step(spiking):
    """Return the length of a time step [s]; it is in the times, but for a single one."""
    times = spiking["time"].values.astype(float)
    if len(times) == 1:
        return float(spiking.attrs.get("dt") or times[0])
    steps = np.diff(times)
    if not np.allclose(steps, steps[0], rtol=1e-3, atol=0) or steps[0] <= 0:
        raise ResultError(
            f"spiking: its time steps are not even; expected equal steps, got from {steps.min():g} to "
            f"{steps.max():g} s. Smooth before you select steps."
        )
    return float(times[-1] - times[0]) / (len(times) - 1)


def _floating(dtype):
    """Return the dtype of a mean: counts become double precision, floats stay as they are."""
    return dtype if dtype.kind == "f" else np.dtype(float)


def _keep(values, like):
    return values.transpose(*like.dims).assign_attrs(like.attrs)


def _reduced(spiking, reduce, what):
    """Run ``reduce(steps, out)`` on every variable that has a time axis, which both arrays begin with."""

    def over_time(values):
        # `empty_like` keeps the order of memory, whichever the order of axes.
        result = np.empty_like(values, dtype=_floating(values.dtype))
        # Both are views, with one axis more for what has no other than time.
        reduce(*(np.moveaxis(array[..., None, :], -1, 0) for array in (values, result)))
        return result

    variables = {}
    for name, variable in spiking.data_vars.items():
        if "time" in variable.dims:
            reduced = xr.apply_ufunc(
                over_time,
                variable,
                input_core_dims=[["time"]],
                output_core_dims=[["time"]],
                dask="parallelized",
                output_dtypes=[_floating(variable.dtype)],
                dask_gufunc_kwargs={"allow_rechunk": True},
            )
            variables[name] = _keep(reduced, variable)
    return spiking.assign(variables).assign_attrs(time_reduction=what)
