import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nengo_cam.exceptions import LabelError, ParameterError, ResultError
from nengo_cam.plotting import timeline
from nengo_cam.plotting.timeline import _default_steps


def titles(drawn):
    return [ax.get_title() for ax in drawn.axes]


def suptitle(drawn):
    (text,) = drawn.figure.texts
    return text.get_text()


def test_artists(spiking, rate, images):
    drawn = timeline(spiking, rate, images, image=1, label="dog", times=[0.002, 0.0071])
    assert titles(drawn) == ["input", "2 ms", "7 ms", "rate"]
    assert drawn.times == [0.002, 0.007]
    maps = spiking["cam"].isel(image=1).sel(label="dog")
    reference = rate["cam"].isel(image=1).sel(label="dog").values
    for artist, expected in zip(drawn.maps, [maps[1], maps[6], reference]):
        np.testing.assert_array_equal(artist.get_array(), expected)
        assert artist.get_clim() == (-np.abs(reference).max(), np.abs(reference).max())
        assert tuple(artist.get_extent()) == (-0.5, 7.5, 7.5, -0.5)
    low, high = images[1].min(), images[1].max()
    np.testing.assert_allclose(drawn.image.get_array(), (images[1, ..., 0] - low) / (high - low))
    assert [bar.ax.get_ylabel() for bar in drawn.colorbars] == ["CAM [logit]"]
    assert suptitle(drawn) == "image 1, label dog (spiking)"


def test_colorbar_says_what_goes_beyond(spiking, rate):
    rate["cam"] *= 10
    assert timeline(spiking, rate, label="cat").colorbars[0].extend == "neither"
    rate["cam"] /= 1000
    assert timeline(spiking, rate, label="cat").colorbars[0].extend == "both"


def test_without_rate_and_images_the_last_step_sets_the_limit(spiking):
    drawn = timeline(spiking, times=[0.001, 0.002])
    label = int(spiking["logits"].values[0, -1].argmax())
    peak = np.abs(spiking["cam"].values[0, -1, label]).max()
    assert titles(drawn) == ["1 ms", "2 ms"]
    assert drawn.image is None
    assert all(artist.get_clim() == (-peak, peak) for artist in drawn.maps)
    assert spiking["label"].values[label] in suptitle(drawn)


def test_each_frame_its_own_limit_and_bar(spiking, rate):
    drawn = timeline(spiking, rate, label="cat", times=[0.001, 0.01], scale="frame")
    peaks = [np.abs(artist.get_array()).max() for artist in drawn.maps]
    assert len(set(peaks)) == 3
    assert [artist.get_clim() for artist in drawn.maps] == [(-peak, peak) for peak in peaks]
    assert [bar.norm.vmax for bar in drawn.colorbars] == peaks


def test_panels_stand_on_one_line(spiking, rate, images):
    drawn = timeline(spiking, rate, images, scale="frame")
    drawn.figure.canvas.draw()
    np.testing.assert_allclose([ax.get_position().y0 for ax in drawn.axes], drawn.axes[-1].get_position().y0, atol=0.01)


def test_given_limits(spiking):
    assert {artist.get_clim() for artist in timeline(spiking, scale=(-2, 1)).maps} == {(-2, 1)}


def test_running_mean_is_named(spiking):
    spiking.attrs["time_reduction"] = "running mean"
    assert suptitle(timeline(spiking, label="cat")) == "image 0, label cat (spiking, running mean)"


@pytest.mark.parametrize(
    ("n_steps", "steps"), [(100, [4, 9, 19, 49, 99]), (200, [9, 19, 39, 99, 199]), (3, [0, 1, 2]), (1, [0])]
)
def test_default_times(n_steps, steps):
    assert _default_steps(n_steps) == steps


def test_silent_frames_draw_zero(spiking):
    spiking["cam"][:, :5] = 0
    drawn = timeline(spiking, times=[0.001, 0.01])
    drawn.figure.canvas.draw()
    assert np.all(drawn.maps[0].get_array() == 0)
    silent = timeline(spiking * 0, label="cat", scale="frame")
    silent.figure.canvas.draw()
    assert all(artist.get_clim() == (-1, 1) for artist in silent.maps)


def test_moving_input(spiking):
    film = np.zeros((3, 10, 8, 8, 1))
    film[:, 6] = 1
    drawn = timeline(spiking, None, film, times=[0.001, 0.007], label="cat")
    grounds = [ax.images[0].get_array().max() for ax in drawn.axes]
    assert grounds == [1, 0, 1]


def test_logits_are_not_needed_with_a_label(spiking):
    assert timeline(spiking.drop_vars("logits"), label="cat").maps
    with pytest.raises(ResultError, match=r"lacks the variables \['logits'\]"):
        timeline(spiking.drop_vars("logits"))


def test_draws_on_a_given_figure_and_in_notebooks(spiking):
    fig = Figure()
    drawn = timeline(spiking, fig=fig, times=0.003)
    assert drawn.figure is fig and drawn.axes[0].figure is fig
    png = Image.open(io.BytesIO(drawn._repr_png_()))
    assert png.size == (640, 480)


def test_draws_on_a_part_of_a_figure(spiking):
    fig = Figure(figsize=(6, 4))
    part = fig.subfigures(2, 1)[0]
    drawn = timeline(spiking, fig=part, times=0.003)
    assert drawn.figure is part
    assert Image.open(io.BytesIO(drawn._repr_png_())).size == (600, 400)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"times": [0.02]}, ParameterError, r"times: .* from 0.001 to 0.01 s, got \[0.02\]"),
        ({"image": 3}, ParameterError, "image: not a position"),
        ({"label": "gnu"}, LabelError, "label 'gnu': not in the Dataset"),
        ({"scale": "film"}, ParameterError, "scale: not a known choice"),
        ({"alpha": -1}, ParameterError, "alpha: not an opacity"),
        ({"cmap": "nope"}, ParameterError, "cmap: unknown"),
    ],
)
def test_errors_come_before_drawing(spiking, arguments, error, message):
    fig = Figure()
    with pytest.raises(error, match=message):
        timeline(spiking, fig=fig, **arguments)
    assert not fig.axes


def test_swapped(spiking, rate):
    with pytest.raises(ResultError, match="spiking: no dim 'time'"):
        timeline(rate, spiking)
