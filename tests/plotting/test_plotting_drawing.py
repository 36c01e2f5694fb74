import numpy as np
import pytest
from matplotlib.figure import Figure

import nengo_cam as ncam
from nengo_cam import plotting
from nengo_cam.exceptions import ParameterError
from nengo_cam.plotting.drawing import (
    Look,
    add_colorbar,
    bar_label,
    check_look,
    draw_input,
    draw_map,
    few_ticks,
    to_the_edges,
)

DEFAULT = Look()


def axes():
    return Figure().subplots()


def drawn(values, extent, picture=None, clim=(-1, 1), look=DEFAULT):
    return draw_map(axes(), np.asarray(values, float), extent, picture, clim=clim, look=look)


def test_the_outermost_cells_reach_the_edges_of_the_image():
    """Cells of 2 pixels from 2.5 to 8.5 of an image that reaches from -0.5 to 11.5: two cells are missing on each "
    "side."""
    values = np.arange(9.0).reshape(3, 3)
    found = drawn(values, (2.5, 8.5, 8.5, 2.5), np.zeros((12, 12)))
    array = found.map.get_array()
    assert array.shape == (7, 7)
    np.testing.assert_array_equal(array[2:5, 2:5], values)
    for row in range(7):
        for column in range(7):
            assert array[row, column] == values[np.clip(row - 2, 0, 2), np.clip(column - 2, 0, 2)]
    assert tuple(found.map.get_extent()) == (-1.5, 12.5, 12.5, -1.5)
    # What lies beyond the image is cut off, and cells stay in their places.
    assert (found.map.axes.get_xlim(), found.map.axes.get_ylim()) == ((-0.5, 11.5), (11.5, -0.5))
    found.show(-values, (-1, 1))
    np.testing.assert_array_equal(found.map.get_array(), -array)


@pytest.mark.parametrize(
    ("extent", "pads"),
    [
        ((-0.5, 7.5, 7.5, -0.5), ((0, 0), (0, 0))),
        # Shifted by half a cell, as by a stride with padding.
        ((0.5, 8.5, 7.5, -0.5), ((0, 0), (1, 0))),
        # Rows from below, and beyond the image on both sides.
        ((-0.5, 7.5, 1.5, 5.5), ((2, 2), (0, 0))),
        ((-1.5, 8.5, 8.5, -1.5), ((0, 0), (0, 0))),
        ((-0.5, 7.5 - 1e-9, 7.5, -0.5), ((0, 0), (0, 0))),
    ],
)
def test_only_missing_cells_are_repeated(extent, pads):
    n_rows = 4
    found, reached = to_the_edges(extent, (n_rows, 4), (8, 8))
    assert found == pads
    # Each side of the image is reached, or was before.
    left, right, bottom, top = reached
    assert left <= -0.5 and right >= 7.5 - 1e-6
    assert min(bottom, top) <= -0.5 and max(bottom, top) >= 7.5


@pytest.mark.parametrize(
    ("cells", "pixels", "expected"),
    [
        (4, 28, "bilinear"),
        (9, 28, "bilinear"),
        # A tenth of the image.
        (10, 40, "nearest"),
        (28, 28, "nearest"),
        # A pixel each, however few.
        (8, 8, "nearest"),
    ],
)
def test_large_cells_are_smooth(cells, pixels, expected):
    extent = (-0.5, pixels - 0.5, pixels - 0.5, -0.5)
    assert drawn(np.zeros((cells, cells)), extent, np.zeros((pixels, pixels))).map.get_interpolation() == expected
    chosen = drawn(np.zeros((cells, cells)), extent, None, look=Look(interpolation="bicubic"))
    assert chosen.map.get_interpolation() == "bicubic"


def test_a_heat_map_fades_in_over_gray():
    """Zero and less show the image alone; the largest value has the color of the map at its opacity."""
    values = np.array([[-1.0, 0], [0.5, 1]])
    found = drawn(values, (-0.5, 1.5, 1.5, -0.5), np.zeros((2, 2)), (0, 1), Look(None, 0.8, None, "heatmap"))
    np.testing.assert_array_equal(found.map.get_array(), values)
    colors = found.map.cmap(found.map.norm(values))
    np.testing.assert_allclose(colors[..., 3], [[0, 0], [0.4, 0.8]], atol=0.005)
    # The bar lies on the gray that the image has where it is medium: 0.5 between the darkest, 0.5, and white.
    bar = found.colors()
    np.testing.assert_allclose(bar[0], 0.75)
    import matplotlib

    np.testing.assert_allclose(bar[-1], 0.8 * np.array(matplotlib.colormaps["inferno"](1.0)[:3]) + 0.2 * 0.75)
    # Without an image there is nothing to show through.
    alone = drawn(values, (-0.5, 1.5, 1.5, -0.5), None, (0, 1), Look(style="heatmap"))
    assert alone.map.cmap(0.0)[3] == alone.map.get_alpha() == 1


def test_a_signal_its_map_as_colors_and_as_a_curve():
    signal = np.stack([np.linspace(0, 1, 8), np.linspace(1, 0, 8)], -1)
    found = drawn([0.5, -1, 1, 0], (-0.5, 7.5, 0.5, -0.5), signal, (-1, 1), Look(interpolation="nearest"))
    assert [line.get_ydata().tolist() for line in found.signal] == signal.T.tolist()
    assert all(red == green == blue for red, green, blue in [_rgb(line) for line in found.signal])
    np.testing.assert_array_equal(found.map.get_array(), [[0.5, -1, 1, 0]])
    ax = found.map.axes
    low, high = ax.get_ylim()
    assert ax.get_xlim() == (-0.5, 7.5) and low < 0 and high > 1 and ax.get_aspect() == "auto"
    # The strip fills the axes; the curve reaches from limit to limit between 0 and 1, and its cells in their places.
    assert tuple(found.map.get_extent()) == (-0.5, 7.5, low, high)
    np.testing.assert_allclose(found.curve.get_xdata(), [-0.5, 0.5, 2.5, 4.5, 6.5, 7.5])
    np.testing.assert_allclose(found.curve.get_ydata(), [0.75, 0.75, 0, 1, 0.5, 0.5])
    np.testing.assert_allclose(found.zero.get_ydata(), [0.5, 0.5])
    changed = found.show(np.array([0.0, 2, -2, 4]), (-4, 4), 1 - signal)
    np.testing.assert_allclose(found.curve.get_ydata()[1:-1], [0.5, 0.75, 0.25, 1])
    assert found.signal[0].get_ydata().tolist() == (1 - signal[:, 0]).tolist()
    assert set(changed) == {found.map, *found.signal, found.zero, found.curve}
    assert all(first.get_zorder() <= second.get_zorder() for first, second in zip([found.map], changed[1:]))


def _rgb(line):
    from matplotlib.colors import to_rgb

    return to_rgb(line.get_color())


def test_a_short_map_of_one_dimension_reaches_the_ends_of_its_signal():
    found = drawn([1.0, 2], (1.5, 5.5, 0.5, -0.5), np.zeros((8, 1)), (-2, 2))
    np.testing.assert_array_equal(found.map.get_array(), [[1, 1, 2, 2]])
    assert tuple(found.map.get_extent())[:2] == (-0.5, 7.5)
    np.testing.assert_allclose(found.curve.get_ydata(), (np.array([1, 1, 1, 2, 2, 2]) + 2) / 4)


def test_inputs_by_themselves():
    photograph = np.random.default_rng(0).random((4, 6, 3))
    found = draw_input(axes(), photograph)
    np.testing.assert_array_equal(found.artists[0].get_array(), photograph)
    found.show(1 - photograph)
    np.testing.assert_array_equal(found.artists[0].get_array(), 1 - photograph)
    ax = axes()
    signal = draw_input(ax, np.zeros((6, 3)), flat=True)
    assert len(signal.artists) == 3 and ax.get_xlim() == (-0.5, 5.5)
    assert len({line.get_color() for line in signal.artists}) == 3
    signal.show(np.ones((6, 3)))
    assert [line.get_ydata().max() for line in signal.artists] == [1, 1, 1]


def test_ticks_of_signals_and_none_of_images():
    flat, square = axes(), axes()
    for ax in (flat, square):
        ax.set(xlim=(-0.5, 99.5), ylim=(0, 1))
    few_ticks(flat, flat=True)
    few_ticks(square, flat=False)
    assert 2 <= len(flat.get_xticks()) <= 7 and len(flat.get_yticks()) == 0
    assert len(square.get_xticks()) == len(square.get_yticks()) == 0


def test_color_bars_say_what_they_leave_out():
    assert bar_label("logit") == "CAM [logit]"
    assert bar_label("logit", "heatmap", "mean CAM") == "mean CAM [logit]\npositive part only"
    fig = Figure()
    found = draw_map(fig.subplots(), np.zeros((2, 2)), (0, 2, 2, 0), clim=(0, 3), look=Look(style="heatmap"))
    bar = add_colorbar(fig, found, found.map.axes, label=bar_label("a$b$", "heatmap"), extend="max")
    assert bar.norm is found.map.norm and not bar.ax.yaxis.label.get_parse_math()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "cold"}, r"style: unknown; expected one of \['signed', 'heatmap'\], got 'cold'"),
        ({"style": ["heatmap"]}, r"style: unknown; .* got \['heatmap'\]"),
        ({"interpolation": "smooth"}, "interpolation: unknown to matplotlib; expected None or one of .*got 'smooth'"),
        ({"alpha": 2}, "alpha: not an opacity"),
        ({"cmap": "nope"}, "cmap: unknown to matplotlib; expected the name of a diverging .* got 'nope'"),
        ({"cmap": "nope", "style": "heatmap"}, "cmap: unknown to matplotlib; expected the name of a sequential"),
        ({"style": "heatmap", "scale": (-2.0, 0.0)}, r"scale: no positive value is within it; .* got \(-2.0, 0.0\)"),
    ],
)
def test_looks_that_are_not_known(arguments, message):
    with pytest.raises(ParameterError, match=message):
        check_look(**arguments)


@pytest.mark.parametrize("figure", ["overlay", "timeline", "comparison", "animate"])
def test_every_figure_of_maps_takes_the_same_looks(spiking, rate, images, figure):
    """Style, interpolation and title, beside what the Datasets hold."""
    look = {"style": "heatmap", "interpolation": "nearest", "title": "a $b$\nc_d"}
    if figure == "overlay":
        shown = plotting.overlay(rate.cam[0, 1], images[0], **look)
        maps, title, fig = [shown.map], shown.axes.title, shown.figure
    elif figure == "animate":
        film = plotting.animate(spiking, rate, images, label="dog", progress_bar=False, **look)
        maps, title, fig = film.panels[0].maps, film.figure._suptitle, film.figure
    else:
        shown = getattr(plotting, figure)(spiking, rate, images, label="dog", **look)
        maps = shown.maps if figure == "timeline" else shown.maps[0]
        title, fig = shown.figure._suptitle, shown.figure
    peak = float(rate.cam[0, 1].max())
    assert all(artist.get_clim() == pytest.approx((0, peak)) for artist in maps)
    assert {artist.get_interpolation() for artist in maps} == {"nearest"}
    assert title.get_text() == "a $b$\nc_d" and not title.get_parse_math()
    said = [label for ax in fig.axes for label in (ax.get_xlabel(), ax.get_ylabel()) if "positive" in label]
    assert said == ["CAM [logit]\npositive part only"]
    with pytest.raises(ParameterError, match="style: unknown"):
        ncam.timeline(spiking, style="jet")


def test_an_overlay_without_a_bar_says_it_in_its_title(rate):
    shown = plotting.overlay(rate.cam[0, 1], style="heatmap", colorbar=False, title="mine")
    assert shown.axes.get_title() == "mine\npositive part only"
