"""Films of maps over time.

`animate` makes one, `animation` shows and saves it, `layout` lays its figure out, `panel` is what one image has in it,
`logits` the curves below its maps. `formats` says what a film can be saved as, `gif` and `frames` write pictures, and
`embedded` what a notebook and a page show.
"""

from .animate import animate
from .animation import CAMAnimation
from .formats import check_film

__all__ = ["CAMAnimation", "animate", "check_film"]
