"""Which neurons carry a model: each kind tried on images, in a table, and the simplest that does."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

import nengo
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..checks.parameters import RUN_MINIBATCH, check_positive, is_real
from ..exceptions import ParameterError
from ..measurement.arguments import name_neurons
from ..measurement.calibration_curve import calibration_curve
from ..neurons import IntegrateAndFire, SigmaDelta, SignedIntegrateAndFire, spike_code
from ..scoring.latency import settling_time
from ..simulator import Simulator

__all__ = ["KINDS", "Recommendation", "recommend"]

#: The kinds that are tried, the one that is liked best first: spikes of one size, then levels as `nengo_cam.convert`
#: chooses them, of the fewest bits, and graded ones.
KINDS = {
    "IntegrateAndFire()": IntegrateAndFire(),
    "SignedIntegrateAndFire(negative_threshold=0.25)": SignedIntegrateAndFire(negative_threshold=0.25),
    "SigmaDelta(bits=2, quantum=0.1)": SigmaDelta(bits=2, quantum=0.1),
    "SigmaDelta(bits=1, quantum=0.1)": SigmaDelta(bits=1, quantum=0.1),
    "SigmaDelta(bits=None, quantum=0.2, threshold=5)": SigmaDelta(bits=None, quantum=0.2, threshold=5),
}


def recommend(
    model: Any,
    images: ArrayLike,
    *,
    calibrate_on: ArrayLike | None = None,
    n_steps: int = 100,
    kinds: Sequence[nengo.neurons.NeuronType] | Mapping[str, nengo.neurons.NeuronType] | None = None,
    target_rate: float = 200,
    agreement: float = 0.98,
    correlation: float = 0.99,
    simulator: type = Simulator,
    minibatch_size: int = RUN_MINIBATCH,
    dt: float = 0.001,
    seed: int | None = None,
    progress_bar: bool = True,
    **options: Any,
) -> Recommendation:
    """Convert a model with each of several kinds of neurons, run images once, and say which kind carries it.

    A kind carries the model if at the last step enough images are answered as by the CNN, and the median map of the
    CNN's answer is close enough to the CNN's. Chosen is the first kind that does: spikes of one size if they will do,
    then the levels that `convert` chooses by itself; if none does, that with the best agreement and then the best maps.
    On a few images an agreement is not known to a hundredth: of 20, all have to be answered alike.

    Parameters
    ----------
    model : tf.keras.Model, keras.Model or SourceModel
        Model that `nengo_cam.find_head` accepts. It is not changed.
    images : array_like of shape (N, Y, X, channels)
        Images to measure on.
    calibrate_on : array_like of shape (M, Y, X, channels), optional
        Images that the firing rates are calibrated on, best others. Default: ``images``.
    n_steps : int
        Number of time steps.
    kinds : sequence of nengo.neurons.NeuronType, or dict of {str: nengo.neurons.NeuronType}, optional
        Spiking neuron types to try, the one that you would like best first. In a sequence, the class names them; in a
        dict, its keys do. Default: `nengo_cam.explaining.recommend.KINDS`.
    target_rate : float
        Firing rate of strong activity [Hz]; see `nengo_cam.convert`.
    agreement : float
        Fraction of the images that has to be answered as by the CNN, from 0 to 1.
    correlation : float
        What the median map has to correlate with the CNN's, from -1 to 1.
    simulator, minibatch_size, dt, seed, progress_bar, **options
        As for `nengo_cam.calibration_curve`, which runs the kinds.

    Returns
    -------
    Recommendation
        The table and the choice; prints as a table.

    Raises
    ------
    ModelTypeError, HeadError, UnsupportedModelError, VerificationError
        If the model cannot be converted, or nothing in it spikes.
    ImageError
        If images do not fit the model, or move.
    ParameterError
        If another argument is out of its range, or a neuron type does not spike.
    SimulatorError
        If ``simulator`` is not a class of a simulator, or cannot run the network.
    ResultSizeError
        If the maps of a minibatch would be larger than the memory that is free.

    Warns
    -----
    InputRangeWarning, NonSpikingWarning
        As `nengo_cam.calibration_curve` does.

    Examples
    --------
    >>> found = ncam.recommend(model, images, calibrate_on=train[:100], n_steps=40, progress_bar=False)
    >>> found.choice.spiking, found.name in found.dataset.neurons
    (True, True)
    >>> float(found.dataset.agreement.sel(neurons="SigmaDelta(bits=2, quantum=0.1)"))
    1.0
    """
    types = name_neurons(
        dict(KINDS) if kinds is None else dict(kinds) if isinstance(kinds, Mapping) else kinds, name="kinds"
    )
    _check_fraction("agreement", agreement, 0)
    _check_fraction("correlation", correlation, -1)
    check_positive("target_rate", target_rate, unit="Hz")
    curve = calibration_curve(
        model, images, calibrate_on=images if calibrate_on is None else calibrate_on, target_rates=[target_rate],
        n_steps=n_steps, neurons=types, simulator=simulator, minibatch_size=minibatch_size, dt=dt, seed=seed,
        progress_bar=progress_bar, **options,
    )  # fmt: skip
    curve = curve.isel(target_rate=0)
    dataset = _table(curve, types, float(agreement), float(correlation), dt)
    position = _choose(dataset)
    return Recommendation(dataset.assign_attrs(chosen=list(types)[position]), curve, list(types.values())[position])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Recommendation:
    """Which kind of neurons carries a model; made by `recommend`. Prints as a table.

    Attributes
    ----------
    dataset : xarray.Dataset
        One row for each kind (dim ``neurons``): ``spike_kind``, what is sent; at the last step ``agreement``, fraction
        of images answered as by the CNN, and ``map_correlation``, that of the map of the CNN's answer with the CNN's,
        median over images; ``events``, spikes per image of the whole run; ``settled`` and ``events_until_settled``,
        steps from which on the kind carries the model, and spikes until then, NaN if it does not; and ``carries``.
        ``attrs`` hold what was asked for, the name of the choice and the provenance.
    curve : xarray.Dataset
        The same over time, as `nengo_cam.calibration_curve` gives it; `nengo_cam.tradeoff` draws it.
    choice : nengo.neurons.NeuronType
        The neurons chosen, for ``nengo_cam.convert(model, neurons=...)``.
    """

    dataset: xr.Dataset
    curve: xr.Dataset
    choice: nengo.neurons.NeuronType

    @property
    def name(self) -> str:
        """Name of the choice in the table."""
        return str(self.dataset.attrs["chosen"])

    @property
    def sentence(self) -> str:
        """One line: what was chosen, and why."""
        attrs = self.dataset.attrs
        wanted = f"agreement of at least {attrs['required_agreement']:g}, median map {attrs['required_correlation']:g}"
        row = self.dataset.sel(neurons=self.name)
        if bool(row.carries):
            return f"Chosen: {self.name}, the first that carries the model ({wanted}) within {attrs['n_steps']} steps."
        return (
            f"Chosen: {self.name}, which comes closest; none carries the model ({wanted}) within {attrs['n_steps']} "
            "steps. Run more steps or raise target_rate."
        )

    @property
    def title(self) -> str:
        """One line: what was run."""
        attrs = self.dataset.attrs
        images = f"{attrs['n_images']} image{'s' if attrs['n_images'] > 1 else ''}"
        return f"Neurons for model {attrs['model']!r}: {images}, {attrs['n_steps']} steps, {attrs['target_rate']:g} Hz"

    def _cells(self):
        headings = [
            ["neurons", "spikes are", "agreement", "map", "events", "settled", "events until"],
            ["", "", "with CNN", "correlation", "[per image]", "[steps]", "settled"],
        ]
        data, rows = self.dataset, []
        for i, name in enumerate(data["neurons"].values.tolist()):
            row = data.isel(neurons=i)
            numbers = [
                (row.agreement, ".3f"), (row.map_correlation, ".3f"), (row.events, ",.0f"), (row.settled, ".0f"),
                (row.events_until_settled, ",.0f"),
            ]  # fmt: skip
            written = [format(float(value), form) if np.isfinite(value) else "-" for value, form in numbers]
            rows.append([f"{name} <-" if name == self.name else name, str(row.spike_kind.values), *written])
        return [*headings, *rows]

    def __str__(self):
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = [self.title, ""]
        for row in cells:
            # Names stand to the left, numbers to the right.
            padded = [
                cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
            ]
            lines.append(f"  {'  '.join(padded)}".rstrip())
        return "\n".join([*lines, "", self.sentence])

    __repr__ = __str__

    def _repr_html_(self):
        rows = []
        for i, row in enumerate(self._cells()):
            tag = "th" if i < 2 else "td"
            aligned = ["left" if j < 2 else "right" for j in range(len(row))]
            cells = "".join(
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>' for side, cell in zip(aligned, row)
            )
            rows.append(f"<tr>{cells}</tr>")
        return (
            f"<p><b>{html.escape(self.title)}</b></p><table>{''.join(rows)}</table><p>{html.escape(self.sentence)}</p>"
        )


def _check_fraction(name: str, value: Any, low: float) -> None:
    """Check what is asked of a kind."""
    if not is_real(value) or not low <= value <= 1:
        raise ParameterError(f"{name}: expected a number from {low} to 1, got {value!r}. Try 0.9.")


def _table(
    curve: xr.Dataset, types: dict[str, nengo.neurons.NeuronType], agreement: float, correlation: float, dt: float
) -> xr.Dataset:
    """Reduce curves over time to a row for each kind."""
    agreeing = curve.agreement.transpose("neurons", "time").values
    maps = curve.cam_correlation.sel(quantile=0.5).transpose("neurons", "time").values
    events = curve.spikes_per_image.transpose("neurons", "time").values
    # Where no map of the CNN varies, there is nothing to correlate, and the answer alone decides.
    carried = (agreeing >= agreement) & ((maps >= correlation) | np.isnan(maps).all())
    steps = np.arange(1, agreeing.shape[1] + 1)
    settled = settling_time(carried, steps)
    until = _at(events, settled)
    columns: dict[str, tuple[Any, str, str]] = {
        "spike_kind": (_spike_kinds(types, dt), "", "what a spike is"),
        "agreement": (agreeing[:, -1], "1", "fraction of images answered as by the CNN"),
        "map_correlation": (maps[:, -1], "1", "correlation of the map with the CNN's, median over images"),
        "events": (events[:, -1], "spikes", "spikes per image of the whole run"),
        "settled": (settled, "steps", "steps from which on it carries the model"),
        "events_until_settled": (until, "spikes", "spikes per image until it has settled"),
        "carries": (carried[:, -1], "", "whether it carries the model"),
    }
    variables = {
        name: ("neurons", values, {"long_name": long_name, **({"units": units} if units else {})})
        for name, (values, units, long_name) in columns.items()
    }
    attrs = {
        **curve.attrs,
        "n_steps": len(steps),
        "target_rate": float(curve["target_rate"]),
        "required_agreement": agreement,
        "required_correlation": correlation,
    }
    return xr.Dataset(variables, {"neurons": list(types)}, attrs)


def _spike_kinds(types: dict[str, nengo.neurons.NeuronType], dt: float) -> list[str]:
    """Name what each kind sends; all of them spike."""
    codes = [spike_code(neuron_type, dt) for neuron_type in types.values()]
    return [code.spike_kind for code in codes if code is not None]


def _at(events: NDArray[np.floating], settled: NDArray[np.floating]) -> NDArray[np.floating]:
    """Pick what was sent until a step, NaN where there is none."""
    rows = np.arange(len(events))
    found = events[rows, np.nan_to_num(settled, nan=1).astype(int) - 1].astype(float)
    return np.where(np.isnan(settled), np.nan, found)


def _choose(dataset: xr.Dataset) -> int:
    """Find the position of the first kind that carries the model, or else of the one that comes closest."""
    carries = dataset.carries.values
    if carries.any():
        return int(carries.argmax())
    ranks = zip(dataset.agreement.values.tolist(), np.nan_to_num(dataset.map_correlation.values).tolist())
    # Of equals the first, as `max` finds it.
    return max(enumerate(ranks), key=lambda item: item[1])[0]
