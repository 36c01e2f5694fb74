"""Animated GIFs whose colors can be trusted."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from .frames import FramesWriter, durations

__all__ = ["GIFWriter"]

_PALETTE_FRAMES = 8
# What GIFs count time in [ms].
_TICK = 10


class GIFWriter(FramesWriter):
    """Write an animated GIF in the 256 colors that come closest to those of its frames.

    Matplotlib's own ``PillowWriter`` leaves the choice to Pillow, which spends the colors on the most frequent ones.
    Few pixels have the colors near the ends of a color bar, so these came out wrong, some of them gray.
    """

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        """Add the figure as it is now.

        Parameters
        ----------
        **savefig_kwargs
            Passed to ``fig.savefig``.
        """
        pixels = io.BytesIO()
        self.fig.savefig(pixels, **{**savefig_kwargs, "format": "rgba", "dpi": self.dpi})
        frame = Image.frombuffer("RGBA", self.frame_size, pixels.getvalue(), "raw", "RGBA", 0, 1).convert("RGB")
        self._frames.append(frame.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))

    def finish(self) -> None:
        """Write the file, if there is a frame."""
        if not self._frames:
            return
        palette = self._common_palette()
        # With one palette for all, what stays the same from frame to frame need not be stored again.
        first, *rest = (
            frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in self._frames
        )
        shown = durations(len(self._frames), self.fps, _TICK)
        # A single frame has no list of durations for Pillow.
        first.save(self.outfile, save_all=True, append_images=rest, duration=shown if rest else shown[0], loop=0)

    def _common_palette(self):
        """Choose 256 colors for all frames, by some frames spread over the film."""
        n = min(len(self._frames), _PALETTE_FRAMES)
        chosen = [self._frames[i * (len(self._frames) - 1) // max(n - 1, 1)] for i in range(n)]
        width, height = self.frame_size
        strip = Image.new("RGB", (width, height * n))
        for i, frame in enumerate(chosen):
            strip.paste(frame.convert("RGB"), (0, i * height))
        return strip.quantize(256, method=Image.Quantize.MAXCOVERAGE)
