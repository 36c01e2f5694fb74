import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nengo_cam.exceptions import ImageError, LabelError, ParameterError, ResultError
from nengo_cam.plotting import comparison


def test_maps_are_those_of_the_datasets(spiking, rate, images):
    drawn = comparison(spiking, rate, images, image=[2, 0], label="dog", times=[0.002, 0.009])
    assert np.shape(drawn.axes) == (2, 5)
    assert drawn.times == pytest.approx([0.002, 0.009])
    for row, i in zip(drawn.maps, [2, 0]):
        theirs = rate.cam.sel(label="dog")[i].values
        ours = spiking.cam.sel(label="dog")[i].values
        for artist, values in zip(row, [theirs, ours[1], ours[8], ours[8] - theirs]):
            np.testing.assert_array_equal(artist.get_array(), values)
            assert artist.get_extent() == [-0.5, 7.5, 7.5, -0.5]
    for artist, i in zip(drawn.images, [2, 0]):
        picture = images[i, :, :, 0]
        np.testing.assert_allclose(artist.get_array(), (picture - picture.min()) / np.ptp(picture))


def test_one_scale_for_all_maps_and_differences(spiking, rate):
    drawn = comparison(spiking, 0.5 * rate, image=[0, 1], label="emu")
    reach = 0.5 * float(np.abs(rate.cam.sel(label="emu")[:2]).max())
    for row in drawn.maps:
        assert all(artist.get_clim() == pytest.approx((-reach, reach)) for artist in row)
    # The spiking maps go beyond those of the rate network.
    assert drawn.colorbar.extend == "both"
    assert drawn.colorbar.ax.get_xlabel() == "CAM [logit]"
    fixed = comparison(spiking, rate, label="emu", scale=(-20, 40))
    assert {artist.get_clim() for artist in fixed.maps[0]} == {(-20, 40)}
    assert fixed.colorbar.extend == "neither"


def test_each_row_has_its_label(spiking, rate):
    drawn = comparison(spiking, rate, image=[1, 1, 2], label=["cat", "fox", "cat"])
    for row, (i, label) in zip(drawn.maps, [(1, "cat"), (1, "fox"), (2, "cat")]):
        np.testing.assert_array_equal(row[0].get_array(), rate.cam.sel(label=label)[i])
    assert [row[0].get_ylabel() for row in drawn.axes] == [
        "image 1\ncat", "image 1\nfox", "image 2\ncat",
    ]  # fmt: skip
    winner = str(spiking.logits[1, -1].idxmax().values)
    assert comparison(spiking, rate, image=1).axes[0][0].get_ylabel() == f"image 1\n{winner}"


def test_names_beside_rows_fit(spiking, rate):
    names = ["cat", "indigo bunting", "a very long name", "fox"]
    long = [data.assign_coords(label=names) for data in (spiking, rate)]
    drawn = comparison(*long, image=[0, 0, 1], label=[names[1], names[2], "fox"])
    labels = [row[0].yaxis.label for row in drawn.axes]
    assert [label.get_text() for label in labels] == [
        "image 0\nindigo\nbunting",
        "image 0\na very\nlong name",
        "image 1\nfox",
    ]
    drawn.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    assert all(lower.y1 < upper.y0 for upper, lower in zip(boxes, boxes[1:]))
    numbers = [data.assign_coords(label=[0, 1, 2, 3]) for data in (spiking, rate)]
    assert comparison(*numbers, label=3).axes[0][0].get_ylabel() == "image 0\nlabel 3"


def test_titles_stand_above_the_first_row(spiking, rate, images):
    drawn = comparison(spiking, rate, images, image=[0, 1], label="cat")
    # 10, 30 and 100 % of ten steps.
    assert [ax.get_title() for ax in drawn.axes[0]] == ["input", "rate", "1 ms", "3 ms", "10 ms", "last − rate"]
    assert not any(ax.get_title() for ax in drawn.axes[1])
    assert [ax.get_title() for ax in comparison(spiking, rate, label="cat").axes[0]][:2] == ["rate", "1 ms"]


def test_rate_maps_are_matched_by_image(spiking, rate):
    drawn = comparison(spiking.isel(image=[2]), rate.isel(image=[1, 2, 0]), label="cat")
    np.testing.assert_array_equal(drawn.maps[0][0].get_array(), rate.cam.sel(label="cat")[2])


@pytest.mark.parametrize("rows", [1, 3])
def test_nothing_is_cut_off_at_column_width(spiking, rate, images, rows):
    drawn = comparison(spiking, rate, images, image=range(rows))
    assert drawn.figure.get_figwidth() == 3.3
    drawn.figure.canvas.draw()
    width, height = drawn.figure.bbox.max
    renderer = drawn.figure.canvas.get_renderer()
    boxes = [ax.get_tightbbox(renderer) for ax in (*np.ravel(drawn.axes), drawn.colorbar.ax)]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes)
    titles = [ax.title.get_window_extent() for ax in drawn.axes[0]]
    assert all(left.x1 < right.x0 for left, right in zip(titles, titles[1:]))


def test_names_of_rows_of_wide_images_stand_apart(spiking, rate, images):
    # Without logits no row has room for answers.
    wide = [data.drop_vars("logits").isel(y=slice(2)).assign_attrs(input_shape=[4, 8, 1]) for data in (spiking, rate)]
    drawn = comparison(*wide, images[:, :4], image=range(3), label="cat")
    drawn.figure.canvas.draw()
    names = [row[0].yaxis.label.get_window_extent() for row in drawn.axes]
    assert all(upper.y0 > lower.y1 for upper, lower in zip(names, names[1:]))


def test_draws_on_a_given_figure_and_in_notebooks(spiking, rate):
    fig = Figure(figsize=(6, 2), dpi=100, layout="constrained")
    part = fig.subfigures(1, 2)[0]
    drawn = comparison(spiking, rate, fig=part)
    assert drawn.figure is part
    assert Image.open(io.BytesIO(drawn._repr_png_())).size == (600, 200)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rate": None}, ResultError, "rate: not a result; .* got NoneType"),
        ({"rate": "spiking"}, ResultError, "rate: has a dim 'time'"),
        ({"spiking": "rate"}, ResultError, "spiking: no dim 'time'"),
        ({"image": 3}, ParameterError, "image: not a position .* got 3"),
        ({"label": "cow"}, LabelError, "label 'cow': not in the Dataset"),
        ({"image": [0, 1], "label": ["cat"]}, LabelError, "one for each of 2, got 1. Repeat the image"),
        ({"times": [1.0]}, ParameterError, "times: outside of the simulation"),
        ({"scale": "frame"}, ParameterError, "scale: not a known choice; expected 'shared' or"),
        ({"cmap": "nope"}, ParameterError, "cmap: unknown"),
        ({"alpha": 2}, ParameterError, "alpha: not an opacity"),
        ({"images": np.zeros((3, 5, 5))}, ImageError, "images: wrong number of pixels"),
    ],
)
def test_errors_come_before_drawing(spiking, rate, arguments, error, message):
    known = {"spiking": spiking, "rate": rate}
    given = {name: known.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()}
    fig = Figure()
    with pytest.raises(error, match=message):
        comparison(**{**known, **given}, fig=fig)
    assert not fig.axes
