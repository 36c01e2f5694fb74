"""What a decision costs: spikes and synaptic operations, counted, beside the multiplications of the CNN.

A *synaptic operation* is one spike that arrives at one synapse, where its weight is added to something; what counts as
a synapse stands in `nengo_cam.measurement.synaptic_operations`. A spike that has a size is one spike all the same: the
weight is multiplied by it, or shifted, before it is added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..checks.sources import Images
from ..conversion.network import CAMNetwork
from ..exceptions import ParameterError, ResultError
from ..models.macs import cnn_macs
from ..simulator import Simulator
from .backends import Chunk
from .decoding import SpikeReader, layer_decoder, whole_counts
from .provenance import provenance, time_axis
from .recorder import Recorder, record
from .run import Run
from .synaptic_operations import analog_fan_out, fan_out

__all__ = ["CostRecorder", "cost_until", "energy", "measure_cost"]

_PER_STEP = "operations per step"


def measure_cost(
    net: CAMNetwork,
    images: Images,
    *,
    n_steps: int = 100,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
    progress_bar: bool = True,
) -> xr.Dataset:
    """Run images through a network, and count spikes and synaptic operations.

    Memory grows with the network and with the result, not with neurons times steps.

    Parameters
    ----------
    net : CAMNetwork
        A converted network.
    images : array_like of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        Images, or moving ones.
    n_steps : int
        Time steps.
    simulator : type
        `nengo_cam.Simulator`, ``nengo_dl.Simulator``, ``nengo.Simulator`` or a subclass.
    minibatch_size, dt, seed, progress_bar
        As for `nengo_cam.spiking_cam`.

    Returns
    -------
    xarray.Dataset
        ``spikes`` (image, time, layer): of all neurons of a layer in a step; a spike of either sign counts.
        ``spike_sizes`` (image, time, layer): the sum of their sizes [quanta]; a spike of one size is one.
        ``synaptic_operations`` (image, time, layer): those that these spikes cause, each spike as many as its own
        neuron has synapses. ``neurons`` and ``synapses`` (layer): how many there are. ``analog_operations`` (source):
        what values that are no spikes cost in each step, those of the image and of layers that do not spike; a still
        image need pay only once. ``macs`` (cnn_layer): multiplications of the CNN for one image, see
        `nengo_cam.models.macs`; a network that was built by hand has none. Biases are not counted.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ImageError
        If ``images`` does not fit the network, is empty, or holds NaN or infinity.
    ParameterError
        If ``n_steps`` or ``minibatch_size`` is not a whole number of at least 1, ``dt`` is not positive, or ``seed`` is
        not a seed.
    SimulatorError
        If ``simulator`` is unknown, an open simulator, or cannot run the network; or if activity is beyond the range of
        numbers, or there are more spikes than can be counted.
    UnsupportedModelError
        If the synapses cannot be counted; see `nengo_cam.measurement.synaptic_operations`.

    Warns
    -----
    InputRangeWarning
        If images lie far outside the range of the images that the network was calibrated on.

    Examples
    --------
    >>> cost = ncam.measure_cost(net, images, n_steps=20, seed=0, progress_bar=False)
    >>> bool((cost.synaptic_operations.sum(("time", "layer")) < 20 * cost.macs.sum()).all())  # spikes are sparse
    True
    """
    (cost,) = record(
        net, images, [CostRecorder()], n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size, dt=dt,
        seed=seed, progress_bar=progress_bar,
    )  # fmt: skip
    return cost


class CostRecorder(Recorder):
    """Counts spikes and synaptic operations; `measure_cost` as a recorder."""

    def observes(self, net: CAMNetwork) -> list[str]:
        """Name the layers that spike; see `Recorder.observes`."""
        return list(net.spiking_layers)

    def begin(self, run: Run) -> None:
        """Count synapses; see `Recorder.begin`.

        Parameters
        ----------
        run : Run
            The run that will feed it.

        Raises
        ------
        UnsupportedModelError
            If they cannot be counted; see `nengo_cam.measurement.synaptic_operations`.
        """
        self._run = run
        self._fans = fan_out(run.net)
        self._readers = {name: SpikeReader(layer_decoder(run.net, name, run.dt)) for name in self._fans}
        self._counts = np.zeros((3, len(run.images), run.n_steps, len(self._fans)), np.int64)

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Record a chunk; see `Recorder.add`."""
        if chunk.settled:
            # Nothing was sent, and counts start from zero.
            return
        for i, (name, fan) in enumerate(self._fans.items()):
            reader = self._readers[name]
            for row, sizes in enumerate(reader.sizes(chunk.steps, chunk.observed[name]), start=rows.start):
                # In double precision, which holds the sums exactly.
                spikes, magnitudes = reader.decoder.events(sizes).astype(float), np.abs(sizes).astype(float)
                counts = whole_counts([spikes.sum(axis=1), spikes @ fan, magnitudes.sum(axis=1)])
                # At further steps of a chunk that has settled nothing was sent.
                self._counts[:, row, chunk.start : chunk.start + len(sizes), i] = counts

    def result(self) -> xr.Dataset:
        """Return what `measure_cost` does."""
        run, net = self._run, self._run.net
        spikes, operations, sizes = self._counts
        measured = ("image", "time", "layer")
        variables = {
            "spikes": (measured, spikes, {"units": "spikes per step", "long_name": "spikes"}),
            "spike_sizes": (measured, sizes, {"units": "quanta per step", "long_name": "sizes of the spikes"}),
            "synaptic_operations": (measured, operations, {"units": _PER_STEP, "long_name": "synaptic operations"}),
        }
        coords = {"image": np.arange(len(run.images)), "time": time_axis(run.n_steps, run.dt)}
        # Said, as a Dataset without `macs` may as well be one of which somebody dropped it.
        cnn = {} if net.has_cnn else {"cnn": "none"}
        attrs = provenance(net.head, {**run.provenance, "synapse": str(net.synapse), **cnn})
        return xr.Dataset(variables, coords, attrs).merge(_structure(net, self._fans), combine_attrs="override")


def _structure(net: CAMNetwork, fans: dict[str, NDArray[np.int64]]) -> xr.Dataset:
    """Count what does not depend on the images."""
    layers = net.spiking_layers
    analog = analog_fan_out(net)
    columns = {
        "neurons": ("layer", [ensemble.n_neurons for ensemble in layers.values()], "1", "neurons"),
        "synapses": ("layer", [fan.sum() for fan in fans.values()], "1", "synapses that lead on"),
        "analog_operations": (
            "source", [fan.sum() for fan in analog.values()], _PER_STEP, "operations on values that are no spikes",
        ),
    }  # fmt: skip
    coords = {"layer": list(layers), "source": list(analog)}
    if net.has_cnn:
        macs = cnn_macs(net.reduced.model)
        columns["macs"] = ("cnn_layer", list(macs.values()), "operations per image", "multiplications of the CNN")
        coords["cnn_layer"] = list(macs)
    variables = {
        name: (dim, np.array(values, np.int64), {"units": units, "long_name": long_name})
        for name, (dim, values, units, long_name) in columns.items()
    }
    return xr.Dataset(variables, coords)


def cost_until(cost: xr.Dataset, time: float | xr.DataArray) -> xr.Dataset:
    """Sum costs over the steps up to a time, such as that of the decision.

    Parameters
    ----------
    cost : xarray.Dataset
        Made by `measure_cost`, or by `energy` of that.
    time : float or xarray.DataArray with dim image
        Last time that counts, for all images or for each [s]; NaN for images that never decide.

    Returns
    -------
    xarray.Dataset
        The same without ``time``, in units per image; NaN for images whose time is NaN. ``until`` (image) holds it.

    Raises
    ------
    ResultError
        If ``cost`` has no time dimension.
    ParameterError
        If ``time`` is negative, or does not fit the images.

    Examples
    --------
    >>> cost = ncam.measure_cost(net, images, n_steps=40, seed=0, progress_bar=False)
    >>> until = ncam.cost_until(cost, ncam.decision_latency(ncam.cumulative(spiking)).latency)
    >>> bool((until.spikes <= cost.spikes.sum("time")).all())
    True
    """
    if not isinstance(cost, xr.Dataset) or "time" not in cost.dims:
        got = f"dims {tuple(cost.dims)}" if hasattr(cost, "dims") else type(cost).__name__
        raise ResultError(f"cost: expected a Dataset with a time dimension, got {got}. Pass what measure_cost gives.")
    last = time if isinstance(time, xr.DataArray) else xr.DataArray(time)
    if last.dims not in ((), ("image",)) or last.size not in (1, cost.sizes["image"]) or bool((last < 0).any()):
        raise ParameterError(
            f"time: expected seconds, one for all images or a DataArray with dim 'image' and {cost.sizes['image']} "
            f"values, none negative, got dims {last.dims} and shape {last.shape}. Pass a latency."
        )
    last = last.drop_vars([name for name in last.coords if name != "image"])
    # Times are products of whole numbers and dt, so half a step of tolerance.
    counted = (cost.time <= last + cost.attrs["dt"] / 2).where(last.notnull())
    result = cost.drop_dims("time")
    for name, values in cost.data_vars.items():
        units = values.attrs.get("units", "")
        if units.endswith("per step"):
            # What every step costs alike has no time.
            total = (values * counted).sum("time", skipna=False)
            result[name] = total.assign_attrs(values.attrs, units=units.replace("per step", "per image"))
    return result.assign_coords(until=last).assign_attrs(cost.attrs)


def energy(
    cost: xr.Dataset, *, per_operation: float, per_mac: float, per_spike: float = 0.0, per_update: float = 0.0
) -> xr.Dataset:
    r"""Turn counts into joules, by figures that the user gives.

    In each step :math:`E = n_\mathrm{operations}\, e_\mathrm{operation} + n_\mathrm{spikes}\, e_\mathrm{spike} +
    n_\mathrm{neurons}\, e_\mathrm{update}`; for the CNN :math:`E = n_\mathrm{MAC}\, e_\mathrm{MAC}` per image. There
    is nothing else in it: no memory, no communication, no leakage, and no operations on values that are no spikes,
    unless they are in the figures.

    Parameters
    ----------
    cost : xarray.Dataset
        Made by `measure_cost`.
    per_operation, per_mac : float
        Energy of a synaptic operation, and of a multiplication of the CNN [J].
    per_spike : float
        Energy of sending a spike off [J].
    per_update : float
        Energy of a neuron in each step, whether it spikes or not [J].

    Returns
    -------
    xarray.Dataset
        ``energy`` (image, time, layer) [J per step] and, if there is a CNN, ``cnn_energy`` (cnn_layer) [J per image].

    Raises
    ------
    ResultError
        If ``cost`` does not hold the counts.
    ParameterError
        If a figure is negative or not finite.

    Examples
    --------
    >>> cost = ncam.measure_cost(net, images, n_steps=20, seed=0, progress_bar=False)
    >>> joules = ncam.energy(cost, per_operation=1e-12, per_mac=4e-12)  # figures of your hardware
    >>> bool(np.allclose(joules.energy, 1e-12 * cost.synaptic_operations))
    True
    """
    figures = {"per_operation": per_operation, "per_mac": per_mac, "per_spike": per_spike, "per_update": per_update}
    for name, value in figures.items():
        if np.ndim(value) or isinstance(value, (str, bool)) or not (np.isfinite(value) and value >= 0):
            raise ParameterError(
                f"{name}: expected joules, a finite number of at least 0, got {value!r}. Look it up for your hardware."
            )
    has_cnn = getattr(cost, "attrs", {}).get("cnn") != "none"
    wanted = ("synaptic_operations", "spikes", "neurons", *(["macs"] if has_cnn else []))
    missing = [name for name in wanted if name not in getattr(cost, "data_vars", ())]
    if missing or "time" not in cost.dims:
        raise ResultError(
            f"cost: expected a Dataset with {', '.join(wanted)} over time, got no {missing or ['time']}. Pass what "
            "measure_cost gives."
        )
    spiking = cost.synaptic_operations * per_operation + cost.spikes * per_spike + cost.neurons * per_update
    variables = {"energy": spiking.assign_attrs(units="J per step", long_name="energy")}
    if has_cnn:
        cnn = cost.macs * per_mac
        variables["cnn_energy"] = cnn.assign_attrs(units="J per image", long_name="energy of the CNN")
    return xr.Dataset(variables, attrs={**cost.attrs, **{name: float(value) for name, value in figures.items()}})
