"""Pictures and films of class-activation maps over time.

Everything here reads the Datasets of `nengo_cam.spiking_cam` and `nengo_cam.rate_cam` and draws with plain matplotlib
figures: no pyplot state, no simulator, no network. Maps are signed, so their colours diverge from zero; how far they
reach is decided in `nengo_cam.plotting.scale`.
"""

from .animate import animate
from .film import CAMAnimation, check_film
from .overlay import Overlay, overlay
from .timeline import Timeline, timeline
from .tradeoff import Tradeoff, tradeoff

__all__ = [
    "CAMAnimation",
    "Overlay",
    "Timeline",
    "Tradeoff",
    "animate",
    "check_film",
    "overlay",
    "timeline",
    "tradeoff",
]
