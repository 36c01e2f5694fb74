"""What a figure says of a network that answers otherwise than its CNN: below the maps, whose answers they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..scoring.readout import holds_level, reduction_of
from .text import LONGEST_NAME, in_two_lines, literal, name_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

__all__ = ["answers_by_step", "answers_of", "logits_of", "say_answer", "say_answers_at_steps"]

# Neither red nor blue, which mean the sign of a map.
_BOX = {"boxstyle": "round,pad=0.25", "facecolor": "#fff3b0", "edgecolor": "0.4", "linewidth": 0.6}


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


def answers_by_step(
    spiking: xr.Dataset, rate: xr.Dataset | None, position: int, name: object
) -> list[tuple[Any, Any] | None] | None:
    """Find what a spiking network and its CNN answer at each step of moving input, where they differ.

    Parameters
    ----------
    spiking, rate, position, name
        As for `answers_of`. What the CNN answers stands in ``rate``, or else in ``cnn_logits``, if these were not
        smoothed over time with the rest.

    Returns
    -------
    list of (label, label) or None, or None
        For each step the answers of the spiking network and of the CNN, None where they are the same. None of all if
        the input does not move, labels are missing, or a step of ``spiking`` is no answer: of unit spikes that are not
        averaged.

    Raises
    ------
    ResultError
        If the readout of ``spiking`` is not known.
    """
    own, labels = logits_of(spiking)
    if own is None or not _are_all(spiking, labels) or not _answers_at_steps(spiking):
        return None
    cnn: xr.DataArray | None = None
    theirs: list[Any] = []
    if rate is not None:
        cnn, theirs = logits_of(rate)
    if rate is not None and cnn is not None:
        cnn = cnn.isel(image=rate["image"].values.tolist().index(name))
    # What was smoothed over time is no answer to a frame any more.
    elif "cnn_logits" in spiking and not reduction_of(spiking):
        cnn, theirs = spiking["cnn_logits"].isel(image=position), spiking["label"].values.tolist()
    if cnn is None or "time" not in cnn.dims or theirs != labels:
        return None
    logits = own.isel(image=position).transpose("time", ...).values
    expected = cnn.transpose("time", ...).values
    # A burn-in has no logits, and so no answer.
    known = np.isfinite(logits).all(axis=1) & np.isfinite(expected).all(axis=1)
    differ = known & (logits.argmax(axis=1) != expected.argmax(axis=1))
    return [
        (labels[int(logits[step].argmax())], labels[int(expected[step].argmax())]) if differs else None
        for step, differs in enumerate(differ.tolist())
    ]


def logits_of(result: xr.Dataset) -> tuple[xr.DataArray | None, list[Any]]:
    """Find the logits of a Dataset, of all labels where they are kept beside those of the maps.

    Parameters
    ----------
    result : xarray.Dataset
        Result of `nengo_cam.spiking_cam` or `nengo_cam.rate_cam`.

    Returns
    -------
    logits : xarray.DataArray or None
        Logits with the labels as their last dim, or None.
    labels : list
        What these are.
    """
    for name, dim in (("all_logits", "all_label"), ("logits", "label")):
        if name in result:
            return result[name].transpose(..., dim), result[dim].values.tolist()
    return None, []


def _are_all(spiking, labels):
    """Whether labels leave a choice, and none of the model's is left out."""
    return len(labels) >= max(2, int(spiking.attrs.get("n_labels", 0)))


def _answers_at_steps(spiking):
    """Whether logits of a step are an answer: of levels, and of spikes once they are averaged."""
    return bool(spiking.attrs.get("time_reduction")) or holds_level(spiking)


def _answers_by_logits(spiking, rate, position, name):
    own, labels = logits_of(spiking)
    expected, theirs = (None, []) if rate is None else logits_of(rate)
    if own is None or expected is None or theirs != labels or not _are_all(spiking, labels):
        return None
    logits = own.isel(image=position).transpose("time", ...).values
    first = len(logits) - 1 if _answers_at_steps(spiking) else len(logits) // 2
    expected = expected.isel(image=rate["image"].values.tolist().index(name)).transpose(
        "time", ..., missing_dims="ignore"
    )
    expected = expected.values
    # Of input that moves, over the same steps as of the network.
    expected = expected[first:].mean(axis=0) if expected.ndim == 2 else expected
    settled = logits[first:].mean(axis=0)
    if not (np.isfinite(settled).all() and np.isfinite(expected).all()):
        return None
    return labels[int(settled.argmax())], labels[int(expected.argmax())]


def say_answer(ax: Axes, *answers: tuple[str, Any], line: int = LONGEST_NAME, fontsize: str | float = "small") -> None:
    """Say below a map what one or both networks answer.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The map's axes.
    *answers : (str, label)
        Who answers, and what; a line each.
    line : int
        Letters of a name that fit below the map; longer names are written on two lines.
    fontsize : str or float
        Size of the text.
    """
    names = [(who, name_of(label)) for who, label in answers]
    text = "\n".join(f"{who}: {in_two_lines(name, line)}" for who, name in names)
    literal(ax.set_xlabel(text, fontsize=fontsize, bbox=_BOX, labelpad=5))


def say_answers_at_steps(ax: Axes, fontsize: str | float = "small") -> Annotation:
    """Make room below a map of moving input for what is said there at some steps.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The map's axes.
    fontsize : str or float
        Size of the text.

    Returns
    -------
    matplotlib.text.Annotation
        Without a text, and not visible.
    """
    # Not the label of an axis, which is drawn with the axis: what changes is drawn by itself.
    said = ax.annotate(
        "", (0.5, 0), xytext=(0, -7), xycoords="axes fraction", textcoords="offset points", ha="center", va="top",
        fontsize=fontsize, bbox=_BOX, visible=False, annotation_clip=False,
    )  # fmt: skip
    literal(said)
    return said
