"""What a figure says of a network that answers otherwise than its CNN: below the maps, whose answers they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..scoring.readout import holds_level
from .text import literal, plain

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = ["answers_of", "say_answer"]

# Neither red nor blue, which mean the sign of a map.
_BOX = {"boxstyle": "round,pad=0.25", "facecolor": "#fff3b0", "edgecolor": "0.4", "linewidth": 0.6}
# Letters of a name that stands below a map.
_LONGEST = 24


def answers_of(spiking: xr.Dataset, rate: xr.Dataset | None, position: int, name: object) -> tuple[Any, Any] | None:
    """Find what a spiking network and its CNN answer, if they differ.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`, checked. Without the answers in it, those of the logits count if all labels
        are there: of logits that are reduced over time, or of a level that is held, the last, otherwise the mean of
        the last half.
    rate : xarray.Dataset or None
        Result of `nengo_cam.rate_cam`, checked.
    position : int
        Position along the dim ``image`` of ``spiking``.
    name : object
        Its ``image`` coordinate, by which it is found in ``rate``.

    Returns
    -------
    tuple of (label, label), or None
        Answers of the spiking network and of the CNN. None if they are the same or not known.

    Raises
    ------
    ResultError
        If the readout of ``spiking`` is not known.
    """
    if {"answer", "cnn_answer"} <= set(spiking.data_vars):
        found = tuple(spiking[variable].values.tolist()[position] for variable in ("answer", "cnn_answer"))
    else:
        found = _answers_by_logits(spiking, rate, position, name)
    return found if found is not None and found[0] != found[1] else None


def _answers_by_logits(spiking, rate, position, name):
    if rate is None or "logits" not in spiking or "logits" not in rate:
        return None
    labels = spiking["label"].values.tolist()
    if len(labels) < max(2, int(spiking.attrs.get("n_labels", 0))):
        return None
    logits = spiking["logits"].isel(image=position).transpose("time", "label").values
    at_last = bool(spiking.attrs.get("time_reduction")) or holds_level(spiking)
    first = len(logits) - 1 if at_last else len(logits) // 2
    expected = rate["logits"].isel(image=rate["image"].values.tolist().index(name)).values
    settled = logits[first:].mean(axis=0)
    if not (np.isfinite(settled).all() and np.isfinite(expected).all()):
        return None
    return labels[int(settled.argmax())], labels[int(expected.argmax())]


def say_answer(ax: Axes, *answers: tuple[str, Any], longest: int = _LONGEST, fontsize: str | float = "small") -> None:
    """Say below a map what one or both networks answer.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The map's axes.
    *answers : (str, label)
        Who answers, and what; a line each.
    longest : int
        Letters of a name; what is longer is cut off.
    fontsize : str or float
        Size of the text.
    """
    text = "\n".join(f"{who}: {plain(label, longest)}" for who, label in answers)
    literal(ax.set_xlabel(text, fontsize=fontsize, bbox=_BOX, labelpad=5))
