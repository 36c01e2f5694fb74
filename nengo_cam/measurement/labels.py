"""Labels of a readout: what they are called, and which of them a result holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks.parameters import is_whole, number_twins
from ..exceptions import LabelError
from ..models.head import CAMHead

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ALL_LABELS", "BEST_LABELS", "choose_labels", "important_labels", "keep_labels", "name_labels"]

#: Most labels that are all shown. Of more, those that win, and the best few of the CNN.
ALL_LABELS = 20
#: How many of the CNN's best labels of each image are shown then.
BEST_LABELS = 5

# Names that a message lists.
_LISTED = 20


def name_labels(head: CAMHead, label_names: Sequence[str] | None) -> NDArray[Any]:
    """Name or number all labels; a name that comes again gets a number.

    Parameters
    ----------
    head : CAMHead
        Head of the model.
    label_names : sequence of str or None
        A name for each label, in the order of the readout; None numbers them.

    Returns
    -------
    ndarray of shape (L,)
        Names, or numbers from 0.

    Raises
    ------
    LabelError
        If there is not one name for each label.
    """
    if label_names is None:
        return np.arange(head.n_labels)
    given: list[Any] = (
        list(label_names) if np.iterable(label_names) and not isinstance(label_names, str) else [label_names]
    )
    if not all(isinstance(name, str) for name in given):
        raise LabelError(f"label_names: expected strings, got {given[:3]!r}. Convert them with str.")
    if len(given) != head.n_labels:
        raise LabelError(
            f"label_names: expected {head.n_labels} names, one for each label of {head.readout!r}, got {len(given)}. "
            "Name every label once."
        )
    names: Any = number_twins(given)
    return np.array(names)


def choose_labels(head: CAMHead, labels: Any, names: NDArray[Any], *, named: bool) -> NDArray[np.int64]:
    """Turn labels, by index or name, into indices.

    Parameters
    ----------
    head : CAMHead
        Head of the model.
    labels : int, str, sequence of them, or None
        Labels that are wanted; None means all.
    names : ndarray of shape (L,)
        Of `name_labels`.
    named : bool
        Whether the user gave names, for messages.

    Returns
    -------
    ndarray of int
        Their indices, in the order of ``labels``.

    Raises
    ------
    LabelError
        If a label does not exist, comes twice, or there is none.
    """
    if labels is None:
        return np.arange(head.n_labels)
    wanted = [labels] if isinstance(labels, str) or np.ndim(labels) == 0 else list(labels)
    wanted = [label.item() if isinstance(label, np.ndarray) and label.ndim == 0 else label for label in wanted]
    valid = names.tolist()
    chosen = []
    for label in wanted:
        # True is 1 for Python; nobody who writes it means the second label.
        if is_whole(label) and 0 <= label < head.n_labels:
            chosen.append(int(label))
        elif isinstance(label, str) and label in valid:
            chosen.append(valid.index(label))
        else:
            raise LabelError(
                f"labels: {label!r} does not exist; expected an index from 0 to {head.n_labels - 1}"
                + (f" or one of {_brief(valid)}" if named else "")
                + f", got {label!r}. "
                + ("Choose one of these." if named else "Pass label_names to use names."),
                label=label,
            )
    if not chosen or len(set(chosen)) != len(chosen):
        raise LabelError(f"labels: expected at least one label, each once, got {wanted!r}. Leave it out for all.")
    return np.array(chosen)


def important_labels(spiking: xr.Dataset, rate: xr.Dataset, n_best: int) -> list[int]:
    """Find the labels that either network answers, and the best few of the CNN for each image.

    Parameters
    ----------
    spiking, rate : xarray.Dataset
        As `nengo_cam.spiking_cam` and `nengo_cam.rate_cam` give them, with all labels.
    n_best : int
        How many of the CNN's best labels of each image count.

    Returns
    -------
    list of int
        Positions of the labels, in the order of the readout.
    """
    logits = rate["logits"].transpose(..., "label").values.reshape(-1, rate.sizes["label"])
    best = set(np.argsort(logits, axis=-1)[:, -n_best:].ravel().tolist())
    values = spiking["label"].values.tolist()
    answers = spiking["answer"].values.tolist() if "answer" in spiking else []
    return sorted(best | {values.index(answer) for answer in answers})


def keep_labels(result: xr.Dataset, kept: Sequence[int]) -> xr.Dataset:
    """Keep the maps of some labels, and the logits of all of them.

    Parameters
    ----------
    result : xarray.Dataset
        As `nengo_cam.spiking_cam` or `nengo_cam.rate_cam` gives it.
    kept : sequence of int
        Positions of the labels whose maps are kept.

    Returns
    -------
    xarray.Dataset
        As if these labels had been chosen: with ``all_logits`` and ``all_bias``.
    """
    of_all = {
        f"all_{name}": result[name].rename(label="all_label")
        for name in ("logits", "bias", "cnn_logits")
        if name in result
    }
    # What chose labels before has them already.
    known = {} if "all_logits" in result else of_all
    return result.isel(label=list(kept)).assign(known)


def _brief(names: list[Any]) -> str:
    return repr(names) if len(names) <= _LISTED else f"{names[:_LISTED]!r} and {len(names) - _LISTED} more"
