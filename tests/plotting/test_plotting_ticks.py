import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from nengo_cam import plotting
from nengo_cam.plotting.ticks import Coordinates, coordinates_of, label_pixels, ticks_of


def given(values):
    return Coordinates(np.arange(len(values)), np.array(values))


def test_numbers_are_round_and_in_their_places():
    frequencies = 200 + 12.5 * np.arange(64)
    places, names = ticks_of(given(frequencies), -0.5, 63.5)
    assert names == ["200", "400", "600", "800"]
    # 200 Hz is pixel 0, and 12.5 Hz further each pixel.
    np.testing.assert_allclose(places, (np.array([200, 400, 600, 800]) - 200) / 12.5)
    falling, same = ticks_of(given(frequencies[::-1]), -0.5, 63.5)
    assert same == names
    np.testing.assert_allclose(falling, 63 - places)
    # On an axis that runs backwards, and of a part of it.
    np.testing.assert_allclose(ticks_of(given(frequencies), 63.5, -0.5)[0], places)
    assert all(250 <= float(name) <= 400 for name in ticks_of(given(frequencies), 4, 16)[1])


def test_numbers_between_pixels_that_are_not_even():
    places, names = ticks_of(given(10.0 ** np.arange(4)), -0.5, 3.5)
    for place, name in zip(places, names):
        below = int(place)
        low, high = 10.0**below, 10.0 ** min(below + 1, 3)
        expected = low + (place - below) * (high - low)
        assert float(name) == pytest.approx(expected)


def test_names_are_few_and_short():
    names = [f"electrode number {i}" for i in range(20)]
    places, shown = ticks_of(given(names), -0.5, 19.5)
    assert places.tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert all(name.endswith("…") and len(name) <= 14 for name in shown)
    few, short = ticks_of(given(["Fz", "Cz", "Pz", "Oz"]), -0.5, 3.5)
    assert (few.tolist(), short) == ([0, 1, 2, 3], ["Fz", "Cz", "Pz", "Oz"])
    assert len(ticks_of(given(names), -0.5, 19.5, small=True)[1]) <= 3
    # Numbers that go up and down can only be names.
    assert ticks_of(given([3, 1, 2]), -0.5, 2.5)[1] == ["3", "1", "2"]
    assert ticks_of(given([1.5, 1.5]), -0.5, 1.5)[1] == ["1.5", "1.5"]
    assert ticks_of(given([1.0, 2]), 5, 9)[1] == []


def test_where_coordinates_come_from(spiking):
    pixels = {"x": [f"s{i}" for i in range(8)]}
    of_pixels = coordinates_of(spiking.assign_attrs(coords=json.dumps(pixels)))
    assert list(of_pixels) == ["x"]
    assert of_pixels["x"].places.tolist() == list(range(8))
    assert of_pixels["x"].values.tolist() == pixels["x"]
    # A map by itself has lost the attributes, but knows where its cells are.
    named = spiking.assign_coords(x=("x", [10.0, 20, 30, 40]), x_pixel=("x", spiking.x.values))
    of_cells = coordinates_of(named.cam[0, 0, 0])
    assert of_cells["x"].places.tolist() == [0.5, 2.5, 4.5, 6.5]
    assert of_cells["x"].values.tolist() == [10, 20, 30, 40]
    assert coordinates_of(spiking) == {}


def test_labels_of_axes_are_literal_and_long_ones_upright():
    ax = Figure().subplots()
    ax.set(xlim=(-0.5, 2.5), ylim=(2.5, -0.5))
    label_pixels(ax, {"x": given(["$a^b$ and more", "b", "c"]), "y": given(["p", "q", "r"])})
    ax.figure.draw_without_rendering()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["$a^b$ and more", "b", "c"]
    assert {text.get_rotation() for text in ax.get_xticklabels()} == {90}
    assert not any(text.get_parse_math() for text in ax.get_xticklabels())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["p", "q", "r"]


def test_figures_have_the_users_coordinates_and_stay_in_pixels(spiking, rate, images):
    coords = json.dumps({"y": [f"row{i}" for i in range(8)], "x": [100 + 10 * i for i in range(8)]})
    spiking, rate = (
        data.assign_coords(
            x=("x", [105.0, 125, 145, 165]), y=("y", ["row0", "row2", "row4", "row6"]),
            x_pixel=("x", data.x.values), y_pixel=("y", data.y.values),
        ).assign_attrs(coords=coords)
        for data in (spiking, rate)
    )  # fmt: skip
    film = plotting.animate(spiking, rate, images, label="dog", progress_bar=False)
    drawn = plotting.timeline(spiking, rate, images, label="dog")
    for ax in (film.panels[0].input.axes, drawn.axes[0]):
        assert [text.get_text() for text in ax.get_yticklabels()] == [f"row{i}" for i in range(8)]
        assert ax.get_yticks().tolist() == list(range(8))
        # 100 + 10 for each pixel.
        np.testing.assert_allclose([float(t.get_text()) for t in ax.get_xticklabels()], 100 + 10 * ax.get_xticks())
        assert ax.get_xlim() == (-0.5, 7.5)
    assert len(drawn.axes[1].get_xticks()) == 0
    overlay = plotting.overlay(rate.cam[0, 1], images[0])
    np.testing.assert_allclose(
        [float(t.get_text()) for t in overlay.axes.get_xticklabels()], 100 + 10 * overlay.axes.get_xticks()
    )
    assert overlay.axes.get_xlim() == (-0.5, 7.5)
    compared = plotting.comparison(spiking, rate, images, label="dog").axes[0][0]
    assert 1 <= len(compared.get_xticks()) <= 3 and 1 <= len(compared.get_yticks()) <= 3
