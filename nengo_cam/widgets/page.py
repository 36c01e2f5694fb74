"""The player as one HTML file: maps in a byte per cell, packed, and a script that unpacks and draws them."""

from __future__ import annotations

import base64
import html
import json
import pathlib
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

from ..exceptions import ResultError
from ..plotting.answers import answers_by_step, answers_of
from ..plotting.displayed import frame_indices, image_extent
from ..plotting.drawing import POSITIVE_ONLY, fitting_interpolation, shown_part
from ..plotting.scale import SCALES, style_colormap
from ..plotting.score_curve import align_scores, score_limits, score_name, score_note
from ..plotting.selection import place_of
from ..plotting.text import as_title, name_of, plain
from ..plotting.ticks import Coordinates, coordinates_of, ticks_of
from ..scoring.readout import reduction_of
from .controls import SCALE_NAMES, WINNER, scale_text, several_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .player import Player

__all__ = ["kept_labels", "quantize", "write_page"]

_HERE = pathlib.Path(__file__).parent
#: Cells of maps and pixels of images, a byte each: more than this no browser unpacks in reasonable time.
MOST_BYTES = 100_000_000
#: Stands for values that are not finite.
MISSING = -128
#: Most labels that are all in a page. Of more, nobody finds one in a list, and most are never looked at.
MANY_LABELS = 50
#: How many of the strongest labels of each image are in it then.
STRONGEST_LABELS = 20
# Labels side by side that are offered where there are more.
_FEW = 3
# Letters of the name of an image.
_LONGEST = 22
# What matplotlib calls cells as they are; all else is smooth.
_AS_THEY_ARE = ("nearest", "none", "antialiased", "auto")


def write_page(player: Player, smoothings: Sequence[str], *, most: int | None = None) -> str:
    """Write a page.

    Parameters
    ----------
    player : Player
        What to show, and what to begin with.
    smoothings : sequence of str
        Ways to smooth that can be chosen.
    most : int, optional
        How many bytes of maps and images there may be, before they are packed.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    ResultError
        If there are more maps and images than a browser can hold, or values beyond single precision.
    """
    show, look = player.show, player.look
    kept, columns = kept_labels(player)
    _check_size(show, len(smoothings), len(kept), MOST_BYTES if most is None else most)
    arrays, facts = _film(show, smoothings, kept, columns)
    scenes = show.smoothed(smoothings[0])
    first = show.scenes(player.image, player.label, smoothings[0])[0]
    pictures, frames = _pictures(show)
    whole = facts["extent"]
    if pictures is not None:
        arrays["pictures"] = pictures
        facts["pictures"] = {"shape": pictures.shape, "frames": frames}
        left, right, bottom, top = image_extent(pictures.shape[2:])
        whole = (left, right, bottom, top)
    interpolation = look.interpolation or fitting_interpolation(facts["extent"], facts["shape"], whole, show.flat)
    low = 0 if look.style == "heatmap" else -1
    cmap = style_colormap(look.cmap, (low, 1), look.style)
    colors = np.rint(255 * np.asarray(cmap(np.linspace(0, 1, 256)))[:, :3]).astype(np.uint8)
    labels = [show.labels[position] for position in kept]
    choices = _choices(player, labels)
    facts.update(
        images=[str(name) for name in show.names],
        image_names=[plain(name, _LONGEST) for name in show.names],
        labels=[str(label) for label in labels],
        names=[name_of(show.logit_labels[column]) for column in columns],
        columns=[columns.index(show.logit_labels.index(label)) for label in labels],
        choices=choices,
        n_labels=len(show.labels),
        n_others=len(show.logit_labels) - len(columns),
        answers=[_answers(show, position, name) for position, name in enumerate(show.names)],
        answers_by_step=[
            [_answers_by_step(show, position, name, smoothing) for position, name in enumerate(show.names)]
            for smoothing in smoothings
        ],
        times=np.round(1000 * show.times, 3).tolist(),
        smoothings=[_smoothing(show, name) for name in smoothings],
        scales=[{"name": name, "text": SCALE_NAMES[name]} for name in SCALES],
        winner=WINNER,
        units=plain(first.units, _LONGEST),
        plane=first.plane,
        flat=show.flat,
        whole=whole,
        smooth=interpolation not in _AS_THEY_ARE,
        heat=look.style == "heatmap",
        note=POSITIVE_ONLY if look.style == "heatmap" else "",
        ticks=_ticks(show, whole),
        fps=player.fps,
        alpha=look.alpha if pictures is not None else 1,
        colors=base64.b64encode(colors.tobytes()).decode(),
        start={
            "image": player.image,
            "label": _begin(player, labels),
            "scale": player.scale if isinstance(player.scale, str) else "given",
            "smoothing": smoothings.index(player.smoothing) if player.smoothing in smoothings else 0,
            "step": player.step,
        },
    )
    if not isinstance(player.scale, str):
        facts["scales"].append({"name": "given", "text": scale_text(player.scale)})
        # A heat map has nothing below zero to draw.
        facts["given"] = shown_part(np.array(player.scale), look.style).tolist()
    model = str(scenes.attrs.get("model") or "")
    default = "Class-activation maps over time" + (f": {model}" if model else "")
    return _fill(
        title=html.escape(default if player.title is None else as_title(player.title)),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
        # No "</script>" within, and no comment: a label may be called anything.
        facts=json.dumps(facts, allow_nan=False).replace("<", "\\u003c"),
        data="\n".join(
            f'<script type="text/plain" id="data-{name}">{_packed(array)}</script>' for name, array in arrays.items()
        ),
    )


def quantize(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round maps to a byte per cell, each map by its own largest magnitude.

    Parameters
    ----------
    maps : ndarray of shape (..., Y, X)
        Maps [logit].

    Returns
    -------
    cells : ndarray of int8 of shape (..., Y, X)
        From -127 to 127; -128 where a value is not finite. ``cells * peaks / 127`` is off by at most 0.4 % of the
        largest magnitude in the map.
    peaks : ndarray of float32 of shape (...)
        Largest magnitude in each map [logit].

    Raises
    ------
    ResultError
        If a value is beyond single precision.
    """
    finite = np.isfinite(maps)
    largest = np.max(np.abs(maps), axis=(-2, -1), initial=0, where=finite)
    if np.any(largest > np.finfo(np.float32).max):
        raise ResultError(
            f"spiking: too large for a page; expected maps in single precision, up to {np.finfo(np.float32).max:.1e}, "
            f"got {largest.max():.1e}. Divide maps and logits, and look where they come from."
        )
    peaks = largest.astype(np.float32)
    scale = np.where(peaks > np.finfo(np.float32).tiny, peaks, np.inf)[..., None, None]
    cells = np.rint(np.where(finite, maps, 0) / scale * 127).astype(np.int8)
    return np.where(finite, cells, np.int8(MISSING)), peaks


def kept_labels(player: Player) -> tuple[list[int], list[int]]:
    """Choose the labels that a page holds: all, or of many those that count.

    These are the labels that lead at some step, the strongest of each image in the end, those that the networks answer
    and those that the player shows.

    Parameters
    ----------
    player : Player
        What to show, and what to begin with.

    Returns
    -------
    kept : list of int
        Positions of the labels whose maps are in the page.
    columns : list of int
        Positions, among those of all logits, of the labels whose logits are in the page by themselves.
    """
    show = player.show
    places = {label: place for place, label in enumerate(show.logit_labels)}
    if len(places) <= MANY_LABELS:
        return list(range(len(show.labels))), list(range(len(places)))
    top = player.label if isinstance(player.label, str) and player.label not in show.labels else ""
    count = set(show.strongest(max(STRONGEST_LABELS, int(top[len("top") :] or 0))))
    for name in ("answer", "cnn_answer"):
        if name in show.spiking:
            count |= {places[answer] for answer in show.spiking[name].values.ravel().tolist() if answer in places}
    named = player.label if isinstance(player.label, tuple) else [player.label]
    count |= {places[label] for label in named if label in places}
    kept = [
        place for place, label in enumerate(show.labels) if len(show.labels) <= MANY_LABELS or places[label] in count
    ]
    return kept, sorted(count | {places[show.labels[place]] for place in kept})


def _choices(player, labels):
    """Name several labels side by side: those that the player shows, and the strongest few where there are more."""
    found = []
    chosen = player.label
    if isinstance(chosen, tuple):
        found.append({"text": several_text(chosen), "labels": [labels.index(label) for label in chosen]})
    elif isinstance(chosen, str) and chosen not in player.show.labels:
        found.append({"text": several_text(chosen), "top": int(chosen[len("top") :])})
    if len(labels) > _FEW and not any(choice.get("top") == _FEW for choice in found):
        found.append({"text": several_text(f"top{_FEW}"), "top": _FEW})
    return found


def _begin(player, labels):
    """Find the choice to begin with: a label, -1 for the winner, or -2 for several at once."""
    if player.label is None:
        return -1
    return labels.index(player.label) if player.label in labels else -2


def _check_size(show, n_smoothings, n_labels, most):
    in_maps, in_images = show.n_bytes(n_smoothings, n_labels)
    if in_maps + in_images > most:
        raise ResultError(
            f"spiking: too much for a page; expected at most {most:,} bytes in maps and images, got {in_maps:,} "
            f"and {in_images:,}. Select images, labels or steps first, e.g. spiking.isel(image=range(5)), or fewer "
            "ways of smoothing."
        )


def _film(show, smoothings, kept, columns):
    """Put maps, logits and scores into arrays, and limits and sizes into facts."""
    (top, bottom), (left, right), flips = _place(show)
    stacks = {"cells": [], "peaks": [], "logits": [], "reach": []}
    others = np.setdiff1d(np.arange(len(show.logit_labels)), columns)
    if len(others):
        stacks.update(low=[], high=[])
    for smoothing in smoothings:
        cells, peaks = quantize(_upright(shown_part(show.maps(smoothing)[:, kept], show.style), flips))
        # Differences from step to step, which wrap around, pack better.
        cells[:, :, 1:] = cells[:, :, 1:] - cells[:, :, :-1]
        logits = show.logits(smoothing)
        stacks["cells"].append(cells)
        stacks["peaks"].append(peaks)
        stacks["logits"].append(logits[..., columns])
        stacks["reach"].append(show.limits("image", smoothing)[0][:, kept, -1, 1])
        if len(others):
            # These skip what is missing, without a warning where all is.
            stacks["low"].append(np.fmin.reduce(logits[..., others], axis=-1))
            stacks["high"].append(np.fmax.reduce(logits[..., others], axis=-1))
    arrays = {name: np.stack(values) for name, values in stacks.items()}
    facts = {
        "shape": arrays["cells"].shape[-2:],
        "extent": (left, right, bottom, top),
        "shared": [show.shared_limits(smoothing)[1] for smoothing in smoothings],
        "rate": show.rate is not None,
        # Of each map, or of each step of moving images.
        "rate_steps": 1 if show.rate is None or "time" not in show.rate.dims else len(show.times),
    }
    if show.rate is not None:
        maps = shown_part(show.rate_maps()[:, kept], show.style)
        arrays["rate-cells"], arrays["rate-peaks"] = quantize(_upright(maps, flips))
        arrays["rate-logits"] = show.rate_logits()[..., kept]
    if show.scores is not None:
        labels = [show.labels[position] for position in kept]
        arrays["scores"] = align_scores(show.scores, show.names, labels, show.times)
        notes = [score_note(show.scores, reduction_of(show.smoothed(smoothing))) for smoothing in smoothings]
        facts["score"] = {"name": score_name(show.scores), "limits": score_limits(show.scores), "notes": notes}
    return arrays, facts


def _place(show):
    """Find what the maps cover [pixel], and which of their axes run backwards."""
    left, right, bottom, top = place_of(show.spiking)
    return sorted((top, bottom)), sorted((left, right)), [top > bottom, left > right]


def _upright(maps, flips):
    return np.flip(maps, [axis for axis, flip in zip((-2, -1), flips) if flip])


def _pictures(show):
    """Return images (N, F, Y, X, C) in bytes, C 1 or 3, of signals all channels, and the frame of each at each step."""
    if show.images is None:
        return None, None
    dt = float(show.spiking.attrs.get("dt") or show.times[0])
    pictures, frames = [], []
    for position in range(len(show.names)):
        picture = show.picture(position)
        frames.append(frame_indices(len(picture), show.times, dt).tolist())
        pictures.append(np.rint(255 * picture).astype(np.uint8))
    return np.stack(pictures), frames


def _ticks(show, whole):
    """Place ticks in the user's coordinates, in parts of width and height; below a signal, otherwise its own."""
    left, right, bottom, top = whole
    given = coordinates_of(show.spiking)
    if show.flat and "x" not in given:
        pixels = np.arange(int(np.ceil(left)), int(np.floor(right)) + 1)
        given["x"] = Coordinates(pixels, pixels)
    found = {}
    for dim, (first, last) in {"y": (top, bottom), "x": (left, right)}.items():
        if dim in given and not (show.flat and dim == "y"):
            places, names = ticks_of(given[dim], first, last)
            shares = (np.asarray(places, dtype=float) - first) / (last - first)
            found[dim] = [[round(share, 5), name] for share, name in zip(shares.tolist(), names)]
    return found


def _smoothing(show, name):
    """Say how maps are smoothed, and of when a map is."""
    scene = show.scenes(0, None, name)[0]
    return {"name": name, "kind": scene.kind, "level": scene.at_step}


def _answers(show, position, name):
    """Return what the spiking network and the CNN answer, None if that is the same or not known."""
    # Without smoothing, or with the only one there is.
    found = answers_of(show.spiking, show.rate, position, name)
    return None if found is None else [name_of(answer) for answer in found]


def _answers_by_step(show, position, name, smoothing):
    """Return what both answer at each step of moving images, None if it is not known."""
    found = answers_by_step(show.smoothed(smoothing), show.rate, position, name)
    return found and [None if pair is None else [name_of(answer) for answer in pair] for pair in found]


def _packed(array):
    """Pack an array: little-endian single precision if it is not bytes already, deflated, in base64."""
    if array.dtype not in (np.int8, np.uint8):
        array = array.astype("<f4")
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()


def _fill(**parts):
    """Fill in the template; what is filled in is not searched for places again."""
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)
