"""Pictures and films of class-activation maps over time.

Everything here reads the Datasets of `nengo_cam.spiking_cam` and `nengo_cam.rate_cam` and draws with plain matplotlib
figures: no pyplot state, no simulator, no network. Maps are signed, so their colours diverge from zero; how far they
reach is decided in `nengo_cam.plotting.scale`.
"""

from .animate import animate
from .comparison import Comparison, comparison
from .film import CAMAnimation, check_film
from .latencies import Latency, latency
from .over_time import Agreement, Localisation, agreement, localisation
from .overlay import Overlay, overlay
from .raster import Raster, raster
from .timeline import Timeline, timeline
from .tradeoff import Tradeoff, tradeoff

__all__ = [
    "Agreement",
    "CAMAnimation",
    "Comparison",
    "Latency",
    "Localisation",
    "Overlay",
    "Raster",
    "Timeline",
    "Tradeoff",
    "agreement",
    "animate",
    "check_film",
    "comparison",
    "latency",
    "localisation",
    "overlay",
    "raster",
    "timeline",
    "tradeoff",
]
