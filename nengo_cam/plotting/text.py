"""Names that come with the data, drawn as they are."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.text import Text

__all__ = ["LONGEST_NAME", "as_title", "in_two_lines", "literal", "name_of", "plain", "titled"]

#: Letters of a label's name in any figure: the same name is cut at the same place wherever it stands.
LONGEST_NAME = 22

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


def name_of(label: object) -> str:
    """Write the name of a label, as short in one figure as in any other.

    Parameters
    ----------
    label : int or str
        Label.

    Returns
    -------
    str
        As `plain`, of at most `LONGEST_NAME` letters.
    """
    return plain(label, LONGEST_NAME)


def as_title(title: object) -> str:
    """Write a title that the user gave: its lines as they are, each as `plain`.

    Parameters
    ----------
    title : object
        The title.

    Returns
    -------
    str
        The title; empty lines stay.
    """
    return "\n".join(plain(line) if line.strip() else "" for line in str(title).splitlines())


def titled(title: object, stated: str) -> str:
    """Put a title of the user's above what a figure states of itself.

    Parameters
    ----------
    title : object
        The title; None for none.
    stated : str
        What the figure states: how many images it counts, say.

    Returns
    -------
    str
        Both, or the latter alone.
    """
    return stated if title is None else f"{as_title(title)}\n{stated}"


def in_two_lines(name: str, line: int = LONGEST_NAME // 2) -> str:
    """Break a name where there is little room beside it.

    Parameters
    ----------
    name : str
        As `name_of` gives it.
    line : int
        How many letters may stand on one line.

    Returns
    -------
    str
        The name, on two lines if it is longer: broken at the space that leaves them most alike, or in the middle of a
        single long word.
    """
    if len(name) <= line:
        return name
    spaces = [place for place, letter in enumerate(name) if letter == " "]
    if not spaces:
        middle = -(-len(name) // 2)
        return f"{name[:middle]}\n{name[middle:]}"
    place = min(spaces, key=lambda space: abs(2 * space + 1 - len(name)))
    return f"{name[:place]}\n{name[place + 1 :]}"


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
