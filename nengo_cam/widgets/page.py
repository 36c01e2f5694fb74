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
from ..plotting.displayed import displayed, frame_indices, image_index, map_extent
from ..plotting.scale import SCALES
from ..plotting.score_curve import align_scores, score_limits, score_name, score_note
from ..scoring.positions import pixel_centers
from ..scoring.readout import reduction_of
from .controls import SCALE_NAMES, WINNER, scale_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .player import Player

__all__ = ["quantize", "write_page"]

_HERE = pathlib.Path(__file__).parent
#: Cells of maps and pixels of images, a byte each: more than this no browser unpacks in reasonable time.
MOST_BYTES = 100_000_000
#: Stands for values that are not finite.
MISSING = -128


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
    show = player.show
    _check_size(show, len(smoothings), MOST_BYTES if most is None else most)
    arrays, facts = _film(show, smoothings)
    scenes = show.smoothed(smoothings[0])
    first = show.scene(player.image, player.label, smoothings[0])
    pictures, frames = _pictures(show)
    if pictures is not None:
        arrays["pictures"] = pictures
        facts["pictures"] = {"shape": pictures.shape, "frames": frames}
    colors = np.rint(255 * np.asarray(player.cmap(np.linspace(0, 1, 256)))[:, :3]).astype(np.uint8)
    facts.update(
        images=[str(name) for name in show.names],
        labels=[str(label) for label in show.labels],
        answers=[_answers(show, position, name) for position, name in enumerate(show.names)],
        answers_by_step=[
            [_answers_by_step(show, position, name, smoothing) for position, name in enumerate(show.names)]
            for smoothing in smoothings
        ],
        times=np.round(1000 * show.times, 3).tolist(),
        smoothings=[_smoothing(show, name) for name in smoothings],
        scales=[{"name": name, "text": SCALE_NAMES[name]} for name in SCALES],
        winner=WINNER,
        units=first.units,
        fps=player.fps,
        alpha=player.alpha if pictures is not None else 1,
        colors=base64.b64encode(colors.tobytes()).decode(),
        start={
            "image": player.image,
            "label": -1 if player.label is None else show.labels.index(player.label),
            "scale": player.scale if isinstance(player.scale, str) else "given",
            "smoothing": smoothings.index(player.smoothing) if player.smoothing in smoothings else 0,
            "step": player.step,
        },
    )
    if not isinstance(player.scale, str):
        facts["scales"].append({"name": "given", "text": scale_text(player.scale)})
        facts["given"] = player.scale
    model = str(scenes.attrs.get("model") or "")
    return _fill(
        title=html.escape("Class-activation maps over time" + (f": {model}" if model else "")),
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


def _check_size(show, n_smoothings, most):
    in_maps, in_images = show.n_bytes(n_smoothings)
    if in_maps + in_images > most:
        raise ResultError(
            f"spiking: too much for a page; expected at most {most:,} bytes in maps and images, got {in_maps:,} "
            f"and {in_images:,}. Select images, labels or steps first, e.g. spiking.isel(image=range(5)), or fewer "
            "ways of smoothing."
        )


def _film(show, smoothings):
    """Put maps, logits and scores into arrays, and limits and sizes into facts."""
    (top, bottom), (left, right), flips = _place(show)
    stacks = {"cells": [], "peaks": [], "logits": [], "reach": []}
    for smoothing in smoothings:
        cells, peaks = quantize(_upright(show.maps(smoothing), flips))
        # Differences from step to step, which wrap around, pack better.
        cells[:, :, 1:] = cells[:, :, 1:] - cells[:, :, :-1]
        stacks["cells"].append(cells)
        stacks["peaks"].append(peaks)
        stacks["logits"].append(show.logits(smoothing))
        stacks["reach"].append(show.limits("image", smoothing)[0][:, :, -1, 1])
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
        arrays["rate-cells"], arrays["rate-peaks"] = quantize(_upright(show.rate_maps(), flips))
        arrays["rate-logits"] = show.rate_logits()
    if show.scores is not None:
        arrays["scores"] = align_scores(show.scores, show.names, show.labels, show.times)
        notes = [score_note(show.scores, reduction_of(show.smoothed(smoothing))) for smoothing in smoothings]
        facts["score"] = {"name": score_name(show.scores), "limits": score_limits(show.scores), "notes": notes}
    return arrays, facts


def _place(show):
    """Find what the maps cover [pixel], and which of their axes run backwards."""
    maps = show.spiking
    left, right, bottom, top = map_extent(pixel_centers(maps, "y"), pixel_centers(maps, "x"))
    return sorted((top, bottom)), sorted((left, right)), [top > bottom, left > right]


def _upright(maps, flips):
    return np.flip(maps, [axis for axis, flip in zip((-2, -1), flips) if flip])


def _pictures(show):
    """Return images (N, F, Y, X, C) in bytes, C 1 or 3, and the frame of each at each step."""
    if show.images is None:
        return None, None
    maps = show.spiking
    dt = float(maps.attrs.get("dt") or show.times[0])
    pictures, frames = [], []
    for position, name in enumerate(show.names):
        film = show.images[image_index(len(show.images), len(show.names), position, name)]
        frames.append(frame_indices(len(film), show.times, dt).tolist())
        picture = displayed(film)
        pictures.append(np.rint(255 * (picture[..., None] if picture.ndim == 3 else picture)).astype(np.uint8))
    return np.stack(pictures), frames


def _smoothing(show, name):
    """Say how maps are smoothed, and of when a map is."""
    scene = show.scene(0, None, name)
    return {"name": name, "kind": scene.kind, "level": scene.at_step}


def _answers(show, position, name):
    """Return what the spiking network and the CNN answer, None if that is the same or not known."""
    # Without smoothing, or with the only one there is.
    found = answers_of(show.spiking, show.rate, position, name)
    return None if found is None else [str(answer) for answer in found]


def _answers_by_step(show, position, name, smoothing):
    """Return what both answer at each step of moving images, None if it is not known."""
    found = answers_by_step(show.smoothed(smoothing), show.rate, position, name)
    return found and [None if pair is None else [str(answer) for answer in pair] for pair in found]


def _packed(array):
    """Pack an array: little-endian single precision if it is not bytes already, deflated, in base64."""
    if array.dtype not in (np.int8, np.uint8):
        array = array.astype("<f4")
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 6)).decode()


def _fill(**parts):
    """Fill in the template; what is filled in is not searched for places again."""
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template)
