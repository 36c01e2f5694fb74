"""Other readings of features: which of them gives the logits that were probed beside them.

Completeness (mean of the map + bias = logit) holds for one reading of an array, and next to never for a wrong one by
chance. So logits tell how features are meant, and a message can name what was mistaken, instead of guessing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from nengo.synapses import Synapse
from numpy.typing import NDArray

from ..exceptions import LayoutError

__all__ = ["Evidence", "check_logits"]

#: Largest difference, as a part of the largest that could cancel in a logit: rounding in single precision over some
#: ten thousand positions stays below.
TOLERANCE = 1e-4
# Of a fitted lowpass filter: what is kept of a step. Beyond, it is a copy, or holds still.
_DECAYS = (1e-3, 0.9999)
# A fit with a free number proves something only if it meets more numbers than it has free.
_FEWEST_STEPS = 4
# Steps by which two probes may be apart.
_SHIFTS = (1, -1, 2, -2, 3, -3)

Array = NDArray[np.floating]


class Reading(NamedTuple):
    """What features are taken to be.

    Attributes
    ----------
    layout : str
        Short name of what was mistaken; empty for the features as they were given.
    drive : ndarray of shape (N, T, L)
        What they make of the logits, without the bias [logit].
    what, remedy : str
        Clause that ends "It fits if", and imperative sentence.
    """

    layout: str
    drive: Array
    what: str = ""
    remedy: str = ""


class Relation(NamedTuple):
    """How logits follow from what features make of them; attributes as of `Reading`."""

    layout: str
    what: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Features, and the logits that they should give.

    Attributes
    ----------
    features : ndarray of shape (N, T, [[Z,] Y,] X, K)
        Features as they are read.
    kernel : ndarray of shape (K, L)
        Readout weights [logit per unit of activity].
    bias : ndarray of shape (L,)
        Readout bias [logit].
    logits : ndarray of shape (N, T, L)
        Logits that were probed [logit].
    dt : float
        Time step [s].
    synapse : nengo.synapses.Synapse or None
        That the user says there is.
    leading : tuple of int
        Of (N, T), the axes that the user's array has, for messages.
    """

    features: NDArray[Any]
    kernel: Array
    bias: Array
    logits: Array
    dt: float
    synapse: Synapse | None
    leading: tuple[int, ...]

    @property
    def n_cells(self) -> int:
        """Number of positions of a map."""
        return int(np.prod(self.features.shape[2:-1]))

    @property
    def caused(self) -> Array:
        """What features have to explain of the logits: all but the bias."""
        return self.logits.astype(float) - self.bias

    def pooled(self, average: Callable[[NDArray[Any]], Any]) -> Array:
        """Average features over positions, image by image: they may be larger than the memory twice over.

        Parameters
        ----------
        average : callable
            Makes (T, K) of the features of an image, (T, ..., K).

        Returns
        -------
        ndarray of shape (N, T, K)
        """
        return np.stack([np.asarray(average(image), float) for image in self.features])

    def magnitude(self) -> float:
        """Largest logit that there would be if nothing canceled [logit]; what rounding is relative to."""
        axes = tuple(range(1, self.features.ndim - 2))
        sizes = self.pooled(lambda image: np.abs(image).mean(axis=axes, dtype=float))
        sums = sizes @ np.abs(self.kernel.astype(float)) + np.abs(self.bias)
        return max(float(sums.max()), float(np.abs(self.logits).max()))


def check_logits(evidence: Evidence) -> None:
    """Check that features give the logits that were probed beside them.

    Parameters
    ----------
    evidence : Evidence
        Finite features and logits, as they are read.

    Raises
    ------
    LayoutError
        If they do not. It names the reading that gives them, if there is one.
    """
    given = Reading("", _drive(evidence, _mean))
    difference = float(np.abs(given.drive - evidence.caused).max())
    magnitude = evidence.magnitude()
    # Logits kept in half precision are rounded to a thousandth.
    halves = "f2" in (evidence.features.dtype.str[1:], evidence.logits.dtype.str[1:])
    tolerance = 4e-3 if halves else TOLERANCE
    if difference <= tolerance * magnitude:
        return
    said = (
        "features: they do not give these logits; expected mean of the map + bias = logit, got a difference of up to "
        f"{difference:.3g} logits where the largest logit is {np.abs(evidence.logits).max():.3g}. "
    )
    for reading, relation in _explanations(evidence, given, tolerance):
        found = [part for part in (reading, relation) if part is not None and part.layout]
        what = ", and ".join(part.what for part in found)
        remedy = " ".join(part.remedy for part in found)
        raise LayoutError(f"{said}It fits if {what}. {remedy}", layout=", ".join(part.layout for part in found))
    raise LayoutError(
        f"{said}No other reading fits either. Probe what is pooled, the logits and the weights of the readout "
        "(sim.data[connection].weights) in one run, through the same synapse.",
        layout="unknown",
    )


def _explanations(evidence, given, tolerance) -> Iterator[tuple[Reading, Relation | None]]:
    """Yield what would explain the logits, the simplest first: one mistake before two."""
    others = list(_other_readings(evidence))
    for reading in others:
        if _same(reading.drive, evidence.caused, tolerance):
            yield reading, None
    for reading in (given, *others):
        for relate in _RELATIONS:
            relation = relate(evidence, reading.drive, tolerance)
            if relation is not None:
                yield reading, relation


# Readings


def _mean(image):
    return image.mean(axis=tuple(range(1, image.ndim - 1)), dtype=float)


def _drive(evidence, average):
    return evidence.pooled(average) @ evidence.kernel.astype(float)


def _other_readings(evidence) -> Iterator[Reading]:
    n_images, n_steps, *map_shape, n_channels = evidence.features.shape
    # In memory: the axes that the array would have if its numbers stood in the order that is tried.
    for position in range(len(map_shape)):
        axes = (*map_shape[:position], n_channels, *map_shape[position:])
        kept = tuple(axis + 1 for axis in range(len(axes)) if axis != position)

        def average(image, axes=axes, kept=kept):
            return image.reshape(len(image), *axes).mean(axis=kept, dtype=float)

        where = "channels first" if position == 0 else "channels in the middle"
        shape = ", ".join(map(str, axes))
        axis, leading = len(evidence.leading) + position, ", ".join(map(str, evidence.leading))
        yield Reading(
            where,
            _drive(evidence, average),
            f"an image's features are {where}, ({shape})",
            f"Move the channels to the end: np.moveaxis(features.reshape({leading}, {shape}), {axis}, -1).",
        )
    pooled = evidence.pooled(_mean)
    kernel = evidence.kernel.astype(float)
    if kernel.shape[0] == kernel.shape[1]:
        yield Reading(
            "transposed kernel", pooled @ kernel.T, "the kernel is transposed", "Pass kernel.T: (K, L) is expected."
        )
    if n_images == n_steps > 1:
        yield Reading(
            "time first", (pooled @ kernel).swapaxes(0, 1), "time comes before the images",
            "Pass features.swapaxes(0, 1).",
        )  # fmt: skip
    if any((image < 0).any() for image in evidence.features):
        yield Reading(
            "not rectified",
            _drive(evidence, lambda image: _mean(np.maximum(image, 0))),
            "the features are those before the ReLU",
            "Probe the output of the neurons, not their input.",
        )


# Relations


def _offset(evidence, drive, tolerance):
    """Find logits that lie a constant above: another bias, or none."""
    rest = evidence.caused - drive
    scale = tolerance * _largest(drive, evidence.caused)
    # Where features stand still, any logits lie a constant above.
    if rest.shape[0] * rest.shape[1] < _FEWEST_STEPS or np.ptp(drive, axis=(0, 1)).max() < 100 * scale:
        return None
    if np.ptp(rest, axis=(0, 1)).max() > scale:
        return None
    found = evidence.bias + rest.mean(axis=(0, 1))
    if np.abs(found).max() <= scale:
        return Relation(
            "no bias in the logits", "the logits are without the bias", "Probe behind the bias, or pass bias=0."
        )
    listed = np.array2string(found, precision=4, separator=", ", threshold=12)
    said = "another bias" if evidence.bias.any() else "no bias"
    what = "a bias is added" if said == "no bias" else "the bias is another one"
    return Relation(said, what, f"Pass that of the run, which is about bias={listed}.")


def _scale(evidence, drive, tolerance):
    """Find logits that are proportional: another unit of the features, or a sum instead of a mean."""
    caused = evidence.caused
    power = float((drive * drive).sum())
    if power == 0 or drive.size < _FEWEST_STEPS:
        return None
    factor = float((drive * caused).sum()) / power
    if factor == 0 or not _same(factor * drive, caused, tolerance):
        return None
    if np.isclose(factor, evidence.n_cells, rtol=1e-3):
        return Relation(
            "sum instead of mean",
            f"features are added up over the {evidence.n_cells} cells, not averaged",
            f"Pass the kernel times {evidence.n_cells}: a map's mean is its part of the logit.",
        )
    hint = "a firing-rate scale or an amplitude is missing, or there twice"
    for value, name in ((evidence.dt, "spikes are in Hz, and were expected per step"), (1 / evidence.dt, "spikes are "
                        "counted per step, and were expected in Hz")):  # fmt: skip
        hint = name if np.isclose(factor, value, rtol=1e-3) else hint
    return Relation(
        "another scale",
        f"all features are {factor:.4g} times as large ({hint})",
        f"Multiply the features by {factor:.4g}, or the kernel.",
    )


def _shift(evidence, drive, tolerance):
    """Find logits that are some steps early or late."""
    for shift in _SHIFTS:
        late, n_steps = abs(shift), drive.shape[1]
        if n_steps - late < _FEWEST_STEPS:
            continue
        earlier, later = (drive, evidence.caused) if shift > 0 else (evidence.caused, drive)
        if _same(earlier[:, :-late], later[:, late:], tolerance):
            who, other = ("logits", "features") if shift > 0 else ("features", "logits")
            steps = f"{late} step{'s' if late > 1 else ''}"
            return Relation(
                "shifted in time",
                f"the {who} are {steps} late",
                f"Leave out the first {steps} of the {who} and the last {steps} of the {other}.",
            )
    return None


def _filtered(evidence, drive, tolerance):
    """Find out whether one side passed a synapse and the other did not."""
    caused = evidence.caused
    # A synapse of the connection leaves the bias alone; that of a probe of logits filters it too.
    sides = (
        (drive, caused, "logits", "features"),
        (drive + evidence.bias, evidence.logits.astype(float), "logits", "features"),
        (caused, drive, "features", "logits"),
    )
    for raw, filtered, who, other in sides:
        name = _synapse_between(raw, filtered, evidence, tolerance)
        if name is not None:
            layout = "without the synapse" if who == "logits" else "synapse too much"
            return Relation(
                layout,
                f"the {who} passed {name} and the {other} did not",
                "Probe the features through the synapse of their connection into the pooling, and the logits through "
                "none: nengo.Probe(features, synapse=connection.synapse).",
            )
    return None


def _synapse_between(raw, filtered, evidence, tolerance):
    """Name the synapse that makes one signal (N, T, L) of another; None if there is none."""
    if raw.shape[1] < _FEWEST_STEPS:
        return None
    for delay in (0, 1):
        # In Nengo a synapse takes a step; a filter by hand may not.
        late = np.pad(raw, ((0, 0), (delay, 0), (0, 0)))[:, : raw.shape[1]]
        if evidence.synapse is not None:
            passed = [evidence.synapse.filt(image, dt=evidence.dt, axis=0, y0=0) for image in late]
            if _same(np.stack(passed), filtered, tolerance):
                return f"the synapse {evidence.synapse}"
        # y[t] = a y[t-1] + (1 - a) x[t] is linear in a.
        before = np.pad(filtered, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        of_step, of_decay = filtered - late, before - late
        power = float((of_decay * of_decay).sum())
        decay = float((of_step * of_decay).sum()) / power if power else 0.0
        if _DECAYS[0] < decay < _DECAYS[1] and _same(late + decay * of_decay, filtered, tolerance):
            return f"a synapse of {-evidence.dt / np.log(decay):.3g} s (Lowpass)"
    return None


def _averaged(evidence, drive, tolerance):
    """Find logits or features that are running means already."""
    caused, counts = evidence.caused, np.arange(1, drive.shape[1] + 1)[:, None]
    for raw, averaged, who in ((drive, caused, "logits"), (caused, drive, "features")):
        if len(counts) >= _FEWEST_STEPS and _same(np.cumsum(raw, axis=1) / counts, averaged, tolerance):
            return Relation(
                "averaged over time", f"the {who} are running means", f"Pass the {who} of each step as it is."
            )
    return None


def _activated(evidence, drive, tolerance):
    """Find probabilities instead of logits."""
    logits = drive + evidence.bias
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    softmax = odds / odds.sum(axis=-1, keepdims=True)
    sigmoid = 0.5 * (1 + np.tanh(logits / 2))
    for name, values in (("softmax", softmax), ("sigmoid", sigmoid)):
        if np.abs(values - evidence.logits).max() <= tolerance:
            return Relation(
                "probabilities",
                f"the logits are probabilities, behind a {name}",
                f"Probe the readout before its {name}.",
            )
    return None


_RELATIONS: tuple[Callable[[Evidence, Any, float], Relation | None], ...] = (
    _offset,
    _scale,
    _shift,
    _filtered,
    _averaged,
    _activated,
)


def _largest(*arrays):
    return max(float(np.abs(array).max()) for array in arrays)


def _same(ours, theirs, tolerance):
    """Tell whether arrays are equal, up to rounding of their largest value."""
    largest = _largest(ours, theirs)
    return bool(largest > 0 and np.abs(ours - theirs).max() <= tolerance * largest)
