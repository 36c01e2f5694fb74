"""The picture of a step: its pixels against the color map, its text as XML."""

import base64
import io
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image

from nengo_cam.exceptions import ParameterError
from nengo_cam.plotting.live_picture import LivePicture

SVG = "{http://www.w3.org/2000/svg}"


def read(picture):
    """Read a picture: the texts in it, and the pixels of each map."""
    root = ElementTree.fromstring(picture._nengo_html_)
    maps = []
    for image in root.iter(f"{SVG}image"):
        kind, data = image.get("href").split(",")
        assert kind == "data:image/png;base64"
        maps.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")))
    return [text.text for text in root.iter(f"{SVG}text")], maps


def colors(maps, limit):
    """Color by hand: blue, white and red for -limit, 0 and limit."""
    scaled = np.clip(np.asarray(maps) / (2 * limit) + 0.5, 0, 1)
    return matplotlib.colormaps["RdBu_r"](scaled, bytes=True)[..., :3]


def test_pixels_are_the_maps_of_each_step():
    rng = np.random.default_rng(0)
    picture = LivePicture((3, 4), [7, "cup"])
    reach = 0
    for step in range(1, 5):
        maps = rng.normal(size=(2, 3, 4)) / step
        assert picture(step / 1000, maps.ravel()) is None
        # Nothing is drawn stronger than it was when it was larger.
        reach = max(reach, np.abs(maps).max())
        texts, drawn = read(picture)
        np.testing.assert_array_equal(drawn, colors(maps, reach))
        assert texts[0::2] == ["7", "cup"] and texts[1] == texts[3] == f"±{reach:.3g} logit"


def test_a_new_run_begins_with_its_own_limit():
    picture = LivePicture((1, 2), [0])
    picture(0.001, np.array([8.0, -1.0]))
    picture(0.002, np.array([1.0, -1.0]))
    assert read(picture)[0][1] == "±8 logit"
    picture(0.001, np.array([1.0, -0.5]))
    assert read(picture)[0][1] == "±1 logit"


def test_a_limit_stays_and_what_is_beyond_has_the_outermost_color():
    picture = LivePicture((2, 2), [0], limit=2)
    for maps in ([[5, -5], [1, 0]], [[0.1, 0], [0, 0]]):
        picture(0.001, np.ravel(maps))
        texts, (drawn,) = read(picture)
        np.testing.assert_array_equal(drawn, colors(maps, 2))
        assert texts[1] == "±2 logit"


def test_signals_are_one_row():
    picture = LivePicture((5,), ["beat"])
    picture(0.001, np.arange(5.0))
    np.testing.assert_array_equal(read(picture)[1][0], colors([np.arange(5.0)], 4))


def test_before_the_first_step_it_is_blank():
    texts, drawn = read(LivePicture((3, 3), ["a", "b"]))
    assert len(drawn) == 2 and texts[0] == "a"
    np.testing.assert_array_equal(drawn, colors(np.zeros((2, 3, 3)), 1))


def test_names_are_text_and_nothing_else():
    names = ["<b>&", "\n\u202eupside", "a very long name of a label indeed"]
    texts, _ = read(LivePicture((1, 1), names))
    assert texts[0] == "<b>&"
    assert texts[2].endswith("upside") and "\u202e" not in texts[2]
    assert texts[4] == "a very long name…"


def test_values_that_are_no_numbers_do_not_set_the_limit():
    picture = LivePicture((1, 3), [0])
    picture(0.001, np.array([np.nan, np.inf, -2.0]))
    texts, (drawn,) = read(picture)
    assert texts[1] == "±2 logit"
    np.testing.assert_array_equal(drawn[0, 2], colors([-2.0], 2)[0])


def test_refusals():
    with pytest.raises(ParameterError, match=r"expected \(Y, X\) or \(X,\), got \(2, 3, 4\)"):
        LivePicture((2, 3, 4), [0])
    with pytest.raises(ParameterError, match="limit: .*got 0"):
        LivePicture((2, 3), [0], limit=0)
    with pytest.raises(ParameterError, match="cmap: unknown to matplotlib"):
        LivePicture((2, 3), [0], cmap="no such map")
