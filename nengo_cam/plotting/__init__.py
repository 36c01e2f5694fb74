"""Pictures and films of class-activation maps over time.

Everything here reads the Datasets of `nengo_cam.spiking_cam` and `nengo_cam.rate_cam` and draws with plain matplotlib
figures: no pyplot state, no simulator, no network. Maps are signed, so their colors diverge from zero; how far they
reach is decided in `nengo_cam.plotting.scale`.

A module for each figure: `overlay`, `timeline`, `comparison`, `raster`, `tradeoff`, `latency`, `scores_over_time`, and
the room `film`. What they share: `selection` cuts out what a figure shows, `results` says what a Dataset must have,
`displayed` brings images and maps to their place, `drawing` draws them and their color bar, `planes` reduces maps of
three dimensions to two, `heat_map` draws those of one over time, `ticks` writes the user's coordinates, `answers` and
`text` write names, `column` is a figure of a journal's width, `score_curve` a score over time. `live_picture`
draws the map of a step while a network runs.
"""

from .comparison import Comparison, comparison
from .film.animate import animate
from .film.animation import CAMAnimation
from .film.formats import check_film
from .latency import Latency, latency
from .overlay import Overlay, overlay
from .raster import Raster, raster
from .scores_over_time import Agreement, Localization, agreement, localization
from .timeline import Timeline, timeline
from .tradeoff import Tradeoff, tradeoff

__all__ = [
    "Agreement",
    "CAMAnimation",
    "Comparison",
    "Latency",
    "Localization",
    "Overlay",
    "Raster",
    "Timeline",
    "Tradeoff",
    "agreement",
    "animate",
    "check_film",
    "comparison",
    "latency",
    "localization",
    "overlay",
    "raster",
    "timeline",
    "tradeoff",
]
