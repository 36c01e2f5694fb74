"""Names that come with the data, drawn as they are."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.text import Text

__all__ = ["literal", "plain"]

# What stands for a character that cannot be seen, or that would turn the text around.
_UNSEEN = "\N{REPLACEMENT CHARACTER}"
_BREAKS = {"\t", "\n", "\v", "\f", "\r", "\x85", "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}"}
# Letters and emoji are joined by them.
_JOINERS = {"\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}
_NAMELESS = "(no name)"


def plain(name: object, longest: int | None = None) -> str:
    """Write a name on one line, so that nothing in it moves or hides what stands around it.

    Parameters
    ----------
    name : object
        A label, an image, a layer, a unit: whatever a Dataset calls something.
    longest : int, optional
        How many characters there is room for; a longer name ends in ``"…"``.

    Returns
    -------
    str
        The name, with a space for each run of tabs and line breaks, and ``"�"`` for control characters, marks of
        direction and halves of surrogate pairs. ``"(no name)"`` if it is blank.
    """
    text = "".join(map(_visible, str(name)))
    text = " ".join(part for part in text.split(" ") if part)
    if longest is not None and len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return text or _NAMELESS


def literal(*artists: Text) -> Text:
    r"""Let texts be drawn letter by letter: no mathematics between dollar signs, no TeX.

    Parameters
    ----------
    *artists : matplotlib.text.Text
        Texts that hold a name from the data. ``$``, ``_``, ``^`` and ``\`` are then drawn as such, whatever the text is
        set to later.

    Returns
    -------
    matplotlib.text.Text
        The first of them.
    """
    for artist in artists:
        artist.set_parse_math(False)
        artist.set_usetex(False)
    return artists[0]


def _visible(character):
    if character in _BREAKS:
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cs") or (category == "Cf" and character not in _JOINERS):
        return _UNSEEN
    return character
