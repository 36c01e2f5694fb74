import builtins
import html
import importlib
import io
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import nengo_cam as ncam
from nengo_cam.exceptions import (
    ImageError,
    LabelError,
    MissingDependencyError,
    OutputPathError,
    ParameterError,
    ResultError,
)
from nengo_cam.widgets import Player, player

# The function of this name hides the module.
player_module = importlib.import_module("nengo_cam.widgets.player")


@pytest.fixture
def no_ipywidgets(monkeypatch):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "ipywidgets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)


def drawn(made):
    """Values of the map that the player has drawn."""
    return np.asarray(made.stage.panel.maps[0].get_array())


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_widgets_change_what_is_drawn(spiking, rate, images, scores):
    pytest.importorskip("ipywidgets")
    made = player(spiking, rate, images, scores=scores)
    controls = made.controls
    mean, raw = ncam.cumulative(spiking)["cam"], spiking["cam"]
    winners = spiking["logits"].mean("time").argmax("label").values
    # It opens on the last step, and plays from the first.
    assert (controls.play.value, controls.time.label, controls.play.repeat) == (11, "12 ms", True)
    np.testing.assert_array_equal(drawn(made), mean[0, 11, winners[0]])
    before = controls.picture.value

    controls.time.value = 7
    assert controls.time.label == "8 ms" and made.step == 7
    np.testing.assert_array_equal(drawn(made), mean[0, 7, winners[0]])
    assert made.stage.panel.map_axes[0].get_title().endswith("8 ms")
    assert np.any(pixels(controls.picture.value) != pixels(before))

    controls.image.value = 2
    np.testing.assert_array_equal(drawn(made), mean[2, 7, winners[2]])
    np.testing.assert_array_equal(made.stage.panel.maps[1].get_array(), rate["cam"][2, winners[2]])
    np.testing.assert_array_equal(made.stage.panel.score.get_ydata(), scores["pearson"][2, :8, winners[2]])

    controls.label.value = "dog"
    np.testing.assert_array_equal(drawn(made), mean[2, 7, 1])
    peak = np.abs(rate["cam"].values[2, 1]).max()
    assert made.stage.panel.maps[0].get_clim() == (-peak, peak)

    controls.smoothing.value = "none"
    np.testing.assert_array_equal(drawn(made), raw[2, 7, 1])
    controls.smoothing.value = "lowpass"
    np.testing.assert_allclose(drawn(made), ncam.agreement.smooth(spiking, 0.01)["cam"][2, 7, 1])
    assert made.stage.panel.map_axes[0].get_title() == "spiking, lowpass 10 ms\nlabel dog, 8 ms"

    controls.scale.value = "shared"
    peak = np.abs(rate["cam"].values).max()
    assert made.stage.panel.maps[0].get_clim() == (-peak, peak)
    controls.scale.value = "frame"
    for step in (3, 9):
        controls.time.value = step
        assert made.stage.panel.maps[0].get_clim()[1] == np.abs(drawn(made)).max()
        assert made.stage.colorbars[0].norm.vmax == np.abs(drawn(made)).max()


def test_widgets_begin_with_what_was_asked_for(spiking, rate):
    pytest.importorskip("ipywidgets")
    made = player(spiking, rate, image=-1, label="cat", scale=(-2, 1), smoothing="none", fps=25)
    controls = made.controls
    assert (controls.image.value, controls.image.label) == (2, "12")
    assert (controls.label.value, controls.scale.value, controls.smoothing.value) == ("cat", (-2, 1), "none")
    assert (controls.play.interval, controls.play.max) == (40, 11)
    assert made.stage.panel.maps[0].get_clim() == (-2, 1)
    assert made.widget is controls.box
    assert "they wait while another cell runs" in controls.box.children[-1].value


@pytest.mark.parametrize("scale", ["image", "frame"])
def test_a_frame_is_what_matplotlib_draws_from_scratch(spiking, rate, images, scores, scale):
    made = player(spiking, rate, images, scores=scores, scale=scale)
    for step in (11, 2, 5):
        fast = pixels(made.draw(step))
        stage = made.stage
        for artist in [*stage.panel.draw(step), *stage._above, *stage._bars]:
            artist.set_animated(False)
        stage.figure.canvas.draw()
        whole = np.asarray(stage.figure.canvas.buffer_rgba())[..., :3].copy()
        for artist in [*stage.panel.draw(step), *stage._above, *stage._bars]:
            artist.set_animated(True)
        # Curves lie on the ends of the axes' frames instead of below them.
        assert np.mean(np.any(fast != whole, axis=-1)) < 0.002


def test_frames_are_fast_enough_to_play():
    import xarray as xr

    rng = np.random.default_rng(0)
    centers = np.arange(28.0)
    coords = {"image": [0], "time": 0.001 * np.arange(1, 101), "label": range(10), "y": centers, "x": centers}
    cam = rng.normal(size=(1, 100, 10, 28, 28)).astype(np.float32)
    dims = ("image", "time", "label", "y", "x")
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4)))}, coords)
    made = player(spiking, spiking.isel(time=-1, drop=True), rng.random((1, 28, 28)))
    slider = pytest.importorskip("ipywidgets") and made.controls.time
    seconds = []
    for step in [*range(1, 100), 0]:
        began = time.process_time()
        slider.index = step
        seconds.append(time.process_time() - began)
        assert made.step == step
    # Shall be 0.05; a slow machine gets twice that.
    assert statistics.median(seconds) < 0.1


def test_smoothing_is_left_out_where_it_cannot_be_had(spiking):
    assert player(spiking).show.smoothings == ("running mean", "lowpass", "none")
    assert player(spiking.drop_vars("bias")).show.smoothings == ("running mean", "none")
    assert player(spiking.isel(time=[0, 1, 5])).show.smoothings == ("running mean", "none")
    made = player(ncam.cumulative(spiking))
    assert made.show.smoothings == ("running mean",)
    made.draw(5)
    np.testing.assert_array_equal(drawn(made), ncam.cumulative(spiking)["cam"][0, 5, made.show.labels.index("emu")])


def test_a_burn_in_is_drawn_as_missing(spiking, rate):
    made = player(ncam.agreement.cumulative(spiking, burn_in=3), rate)
    made.draw(1)
    assert np.isnan(drawn(made)).all()
    made.draw(3)
    assert np.isfinite(drawn(made)).all()


def test_a_refused_choice_changes_nothing(spiking, rate):
    made = player(spiking, rate, label="cat")
    with pytest.raises(LabelError, match="label 'gnu'"):
        made.select(image=1, label="gnu")
    assert (made.image, made.label) == (0, "cat")
    with pytest.raises(TypeError, match="unexpected keyword arguments .*color"):
        made.select(color=1)


def test_without_ipywidgets(spiking, rate, no_ipywidgets, tmp_path):
    made = player(spiking, rate)
    assert isinstance(made, Player)
    with pytest.raises(MissingDependencyError, match=r"need ipywidgets; .* 'nengo-cam\[notebook\]'"):
        _ = made.widget
    made.save(tmp_path / "player.html")
    assert (tmp_path / "player.html").stat().st_size > 10_000


def test_a_notebook_keeps_the_page(spiking, rate):
    formatters = pytest.importorskip("IPython.core.formatters")
    made = player(spiking, rate)
    data, _ = formatters.DisplayFormatter().format(made)
    # No widget, which an exported notebook could show but not play.
    assert set(data) == {"text/plain", "text/html"}
    (page,) = re.findall(r'srcdoc="([^"]*)"', data["text/html"])
    assert html.unescape(page) == made.to_html()


def test_a_notebook_keeps_no_more_than_it_should(spiking, rate, monkeypatch):
    pytest.importorskip("ipywidgets")
    made = player(spiking, rate, smoothing="none")
    size = spiking["cam"].size
    monkeypatch.setattr(player_module, "MOST_IN_NOTEBOOK", 2 * size)
    assert html.unescape(made._repr_mimebundle_()["text/html"]).count(made.to_html(smoothing="none")) == 1
    monkeypatch.setattr(player_module, "MOST_IN_NOTEBOOK", size - 1)
    data = made._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == made.widget.model_id
    expected = rf"not kept in the notebook. .* at most {size - 1:,} bytes in maps and images, got {size:,} and 0."
    assert re.search(expected, data["text/html"])


def test_without_ipywidgets_much_is_only_named(spiking, no_ipywidgets, monkeypatch):
    monkeypatch.setattr(player_module, "MOST_IN_NOTEBOOK", 10)
    data = player(spiking)._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"}
    assert "Select images, labels or steps first" in data["text/html"]


def test_the_input_is_drawn_beside_the_maps(spiking, rate, images):
    made = player(spiking, rate, np.repeat(images, 3, axis=-1) * [1, 0.5, 0.2])
    made.draw(5)
    first = np.repeat(images[0], 3, axis=-1) * [1, 0.5, 0.2]
    expected = (first - first.min()) / (first.max() - first.min())
    np.testing.assert_allclose(made.stage.panel.input.get_array(), expected)
    assert player(spiking, rate).stage.panel.input is None


def test_the_input_of_a_film_plays_along(spiking, rng):
    moving = rng.random((3, 12, 8, 10, 1))
    made = player(spiking, images=moving)
    for step in (11, 4):
        made.draw(step)
        shown = (moving[0, step, ..., 0] - moving[0].min()) / (moving[0].max() - moving[0].min())
        np.testing.assert_allclose(made.stage.panel.input.get_array(), shown)


def test_nothing_is_computed_before_the_path_is_checked(spiking, tmp_path, monkeypatch):
    made = player(spiking)
    monkeypatch.setattr(made, "to_html", lambda **_: pytest.fail("a page was written"))
    with pytest.raises(OutputPathError, match="the folder .* does not exist"):
        made.save(tmp_path / "none" / "player.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": 3}, ParameterError, r"image: not a position .* got \[3\]"),
        ({"image": [0, 1]}, ParameterError, "image: not a position"),
        ({"label": "gnu"}, LabelError, "label 'gnu': not in the Dataset"),
        ({"scale": "film"}, ParameterError, "scale: not a known choice"),
        ({"smoothing": "mean"}, ParameterError, r"smoothing: not a choice; .*'running mean', .* got 'mean'"),
        ({"synapse": -1}, ParameterError, "synapse: expected a synapse"),
        ({"fps": 0}, ParameterError, "fps: not a frame rate"),
        ({"cmap": "nope"}, ParameterError, "cmap: unknown"),
        ({"alpha": 2}, ParameterError, "alpha: not an opacity"),
        ({"style": "hot"}, ParameterError, "style: unknown; expected one of .* got 'hot'"),
        ({"interpolation": "soft"}, ParameterError, "interpolation: unknown to matplotlib; .* got 'soft'"),
        ({"plane": 0}, ParameterError, "plane: these maps have no planes"),
        ({"label": "top4"}, LabelError, "label 'top4': more than there are"),
        ({"images": np.zeros((3, 5, 5))}, ImageError, "wrong number of pixels"),
        ({"images": np.zeros((4, 8, 10))}, ImageError, "none for the image coordinate 10"),
    ],
)
def test_errors(spiking, arguments, error, message):
    with pytest.raises(error, match=message):
        player(spiking, **arguments)


def test_data_that_do_not_fit(spiking, rate, scores):
    with pytest.raises(ResultError, match="spiking: no dim 'time'"):
        player(rate, spiking)
    with pytest.raises(ResultError, match="rate: its 'label' differs"):
        player(spiking, rate.isel(label=[0, 1]))
    with pytest.raises(ResultError, match="scores: no entry of 'label' for the maps; expected 'emu'"):
        player(spiking, rate, scores=scores.isel(label=[0, 1]))
    with pytest.raises(ResultError, match="scores: its times differ"):
        player(spiking, rate, scores=scores.isel(time=slice(5)))
    with pytest.raises(ParameterError, match=r"metric: not in the scores; expected one of \['pearson', 'rmse'\]"):
        player(spiking, rate, scores=scores, metric="ssim")


def test_widgets_follow_what_is_selected_in_python(spiking, rate):
    pytest.importorskip("ipywidgets")
    made = player(spiking, rate)
    controls = made.controls
    controls.time.value = 4
    made.select(image=1, label="dog", scale=[-2, 1], smoothing="none")
    chosen = (controls.image.value, controls.label.value, controls.scale.value, controls.smoothing.value)
    assert chosen == (1, "dog", (-2.0, 1.0), "none")
    assert made.step == controls.time.value == 4
    np.testing.assert_array_equal(drawn(made), spiking["cam"][1, 4, 1])
    assert made.stage.panel.maps[0].get_clim() == (-2, 1)
    # The limits stay among the choices.
    controls.scale.value = "frame"
    assert made.scale == "frame" and controls.scale.value == "frame"
    controls.scale.value = (-2.0, 1.0)
    assert made.scale == (-2, 1)


def test_steps_are_counted_from_both_ends_and_no_further(spiking):
    made = player(spiking, label="cat")
    made.draw(-1)
    assert made.step == 11
    assert len(made.stage.panel.shown.get_xdata()) == 12
    for step in (12, -13, 0.004, "last"):
        with pytest.raises(ParameterError, match=rf"step: not a position in time; expected .* 0 to 11, got {step!r}\."):
            made.draw(step)
    assert made.step == 11


def test_all_images_are_checked_at_once(spiking, images):
    images[2, 3, 4] = np.nan
    with pytest.raises(ImageError, match="images: not all pixels are finite; .* in image 12"):
        player(spiking, images=images)
    player(spiking.isel(image=[0, 1]), images=images[:2])


def test_maps_with_one_axis_are_curves(spiking, rate):
    flat, flat_rate = (result.isel(y=0, drop=True) for result in (spiking, rate))
    made = player(flat, flat_rate, label="dog", smoothing="none", scale=(-2, 2))
    made.draw(6)
    curve = made.stage.panel.drawn[0].curve.get_ydata()
    # From the lower limit at the bottom to the upper one on top; the outermost cells reach to their ends.
    np.testing.assert_allclose(curve[1:-1], (flat.cam[0, 6, 1] + 2) / 4, rtol=1e-6)


def test_several_labels_are_drawn_and_chosen(spiking, rate, images, scores):
    pytest.importorskip("ipywidgets")
    made = player(spiking, rate, images, scores=scores, label=["emu", "cat"], smoothing="none", title="two")
    made.draw(6)
    cam = spiking["cam"]
    for artist, expected in zip(made.stage.panel.maps, [cam[0, 6, 2], rate["cam"][0, 2], cam[0, 6, 0]]):
        np.testing.assert_array_equal(artist.get_array(), expected)
    assert made.stage.figure._suptitle.get_text() == "two"
    for line, label in zip(made.stage.panel.scores, (2, 0)):
        np.testing.assert_array_equal(line.get_ydata(), scores["pearson"][0, :7, label])
    controls = made.controls
    assert (controls.label.value, controls.label.label) == (("emu", "cat"), "emu, cat")
    controls.label.value = "dog"
    assert len(made.stage.panel.maps) == 2
    made.select(label="top2")
    assert controls.label.label == "top 2"
    # Both stay among the choices.
    controls.label.value = ("emu", "cat")
    assert [scene.label for scene in made.stage.panel.scenes] == ["emu", "cat"]
    made.select(label=["dog"])
    assert made.label == "dog"
    with pytest.raises(LabelError, match="label 'top4': more than there are; expected at most 'top3'"):
        made.select(label="top4")
    with pytest.raises(LabelError, match="several different ones"):
        made.select(label=["cat", "cat"])


@pytest.mark.parametrize("scale", ["frame", "image", "shared"])
@pytest.mark.parametrize("style", ["signed", "heatmap"])
def test_frames_of_several_labels_are_what_matplotlib_draws_from_scratch(spiking, rate, images, scale, style):
    made = player(spiking, rate, images, label="top2", scale=scale, style=style)
    made.draw(9)
    fast = pixels(made.draw(4))
    figure = made.stage.figure
    # Animated artists are left out of a whole drawing.
    for artist in figure.findobj():
        artist.set_animated(False)
    figure.canvas.draw()
    whole = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    assert np.mean(np.any(fast != whole, axis=-1)) < 0.004
    # Few pixels, but all of them: the numbers of each color bar, which may be another one's at each step.
    assert len(made.stage.colorbars) == (4 if scale == "frame" else 1)
    for bar in made.stage.colorbars:
        x0, y0, x1, y1 = bar.ax.get_tightbbox().extents.astype(int)
        here = np.s_[len(whole) - y1 : len(whole) - y0, x0:x1]
        np.testing.assert_array_equal(fast[here], whole[here])


def test_limits_below_zero_are_refused_by_heat_maps(spiking):
    made = player(spiking, style="heatmap")
    with pytest.raises(ParameterError, match="scale: no positive value is within it; .* style='heatmap'"):
        made.select(scale=(-2, -1))
    assert made.scale == "image"


def test_neither_tensorflow_nor_nengo_is_imported(tmp_path):
    code = f"""
import sys
import numpy as np
import xarray as xr
import nengo_cam as ncam

coords = {{"image": [0], "time": [0.001, 0.002], "label": [0, 1], "y": [0.0, 1.0], "x": [0.0, 1.0]}}
cam = np.random.default_rng(0).normal(size=(1, 2, 2, 2, 2))
dims = tuple(coords)
spiking = xr.Dataset({{"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4))), "bias": ("label", [0, 0])}}, coords)
made = ncam.player(spiking, smoothing="lowpass")
made.draw(1)
made.save({str(tmp_path / "player.html")!r})
print(made.show.smoothings, {{"tensorflow", "nengo", "nengo_dl", "matplotlib.pyplot"}} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "('running mean', 'lowpass', 'none') set()", run.stderr


def test_scores_are_chosen_by_metric(spiking, scores):
    made = player(spiking, scores=scores, metric="rmse", label="dog")
    made.draw(11)
    np.testing.assert_array_equal(made.stage.panel.score.get_ydata(), scores["rmse"][0, :, 1])
    assert made.stage.panel.score_axes.get_ylabel() == "rmse [logit]"
    with pytest.raises(ParameterError, match="metric: nothing to choose from; .* got metric='rmse' alone"):
        player(spiking, metric="rmse")


def test_a_page_has_the_suffix_of_a_page(spiking, tmp_path):
    with pytest.raises(OutputPathError, match=r"not a page; expected the suffix '.html' or '.htm', got '.gif'"):
        player(spiking).save(tmp_path / "player.gif")
    player(spiking).save(str(tmp_path / "player.HTM"), smoothing="none")
    assert [path.name for path in tmp_path.iterdir()] == ["player.HTM"]


def test_a_page_appears_whole_or_not_at_all(spiking, tmp_path, monkeypatch):
    path = tmp_path / "player.html"
    path.write_text("before")
    made = player(spiking)
    # Half a surrogate pair cannot be written in UTF-8, which shows only when some of the page was.
    monkeypatch.setattr(made, "to_html", lambda **_: 100_000 * "a" + "\ud800")
    with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
        made.save(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_level_is_shown_as_it_is(spiking, rate):
    held = spiking.assign_attrs(readout="level", spike_kind="graded")
    for maps in (held, ncam.cumulative(held)):
        made = player(maps, rate, label="dog")
        assert made.show.smoothings == ("none", "lowpass") and made.smoothing == "none"
        made.draw(4)
        np.testing.assert_array_equal(drawn(made), spiking["cam"][0, 4, made.show.labels.index("dog")])
        with pytest.raises(ParameterError, match=r"expected one of \['none', 'lowpass'\], got 'running mean'"):
            made.select(smoothing="running mean")
    assert player(held.drop_vars("bias")).show.smoothings == ("none",)
    assert player(held.isel(time=[0, 1, 5])).show.smoothings == ("none",)
    smoothed = player(ncam.smooth(held, 0.005))
    assert smoothed.show.smoothings == ("smoothed by Lowpass(tau=0.005)",)
