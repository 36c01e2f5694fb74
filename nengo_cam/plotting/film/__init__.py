"""Films of maps over time.

`animate` makes one, `animation` shows and saves it, `layout` lays its figure out, `panel` is what one image has in it,
`logits` the curves below its maps, `gif` writes a file, and `embedded` what a notebook shows.
"""

from .animate import animate
from .animation import CAMAnimation, check_film

__all__ = ["CAMAnimation", "animate", "check_film"]
