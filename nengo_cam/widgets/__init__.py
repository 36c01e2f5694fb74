"""A player of spiking maps: controls in a notebook, and a page that plays in any browser.

`show` holds what there is to see, `stage` draws a frame of it fast, `controls` puts ipywidgets around that, and `page`
writes it all into one HTML file. Only `controls` needs ipywidgets.
"""

from .player import Player, player

__all__ = ["Player", "player"]
