import numpy as np
import pytest
from matplotlib.figure import Figure

import nengo_cam
from nengo_cam.exceptions import ImageError, LabelError, ParameterError, ResultError
from nengo_cam.plotting import CAMAnimation, animate


def test_maps_follow_the_time(spiking, rate, images):
    film = animate(spiking, rate, images, image=1, label="dog")
    assert isinstance(film, CAMAnimation)
    assert film.steps == list(range(10))
    (panel,) = film.panels
    reference = rate["cam"].isel(image=1).sel(label="dog").values
    peak = np.abs(reference).max()
    for step in (0, 7, 3):
        film.draw(step)
        np.testing.assert_array_equal(panel.maps[0].get_array(), spiking["cam"].isel(image=1).sel(label="dog")[step])
        np.testing.assert_array_equal(panel.maps[1].get_array(), reference)
        assert [artist.get_clim() for artist in panel.maps] == [(-peak, peak)] * 2
        assert panel.map_axes[0].get_title() == f"spiking\nlabel dog, {step + 1} ms"
        np.testing.assert_allclose(panel.marker.get_xdata(), [step + 1] * 2)
    assert panel.map_axes[1].get_title() == "rate\nlabel dog"
    assert panel.input.axes.get_ylabel() == "image 1"
    assert panel.map_axes[0].get_ylabel() == ""


def test_starts_with_the_first_frame(spiking):
    film = animate(spiking, label="dog", stride=4)
    assert film.steps == [1, 5, 9]
    assert film.panels[0].map_axes[0].get_title() == "spiking\nlabel dog, 2 ms"


def test_logits_grow_in_fixed_axes(spiking, rate):
    film = animate(spiking, rate, image=2, label="emu")
    (panel,) = film.panels
    limits = panel.logit_axes.get_xlim(), panel.logit_axes.get_ylim()
    logits = spiking["logits"].values[2]
    film.draw(5)
    np.testing.assert_allclose(panel.shown.get_xdata(), np.arange(1, 7))
    np.testing.assert_array_equal(panel.shown.get_ydata(), logits[:6, 2])
    second, *rest = [i for i in np.argsort(-logits[-1]) if i != 2]
    np.testing.assert_array_equal(panel.runner_up.get_ydata(), logits[:6, second])
    assert panel.runner_up.get_label() == f"label {spiking['label'].values[second]} (strongest other)"
    gap = np.full((1, 2), np.nan)
    np.testing.assert_array_equal(panel.others.get_ydata().reshape(2, 7).T, np.vstack([logits[:6, rest], gap]))
    np.testing.assert_array_equal(panel.reference.get_ydata(), [rate["logits"].values[2, 2]] * 2)
    assert panel.reference.get_linestyle() == "--"
    assert panel.shown.get_color() == panel.reference.get_color() != panel.others.get_color()
    film.draw(9)
    assert (panel.logit_axes.get_xlim(), panel.logit_axes.get_ylim()) == limits
    assert limits[0] == (0, 10)
    assert limits[1][0] < logits.min() and logits.max() < limits[1][1]
    assert panel.logit_axes.get_xlabel() == "time [ms]" and panel.logit_axes.get_ylabel() == "logit"


def test_rate_logit_stays_in_the_axes(spiking, rate):
    rate["logits"][:] = 50
    assert animate(spiking, rate).panels[0].logit_axes.get_ylim()[1] > 50


def test_a_single_step(spiking, rate):
    film = animate(spiking.isel(time=[0]), rate, stride=7)
    film.figure.canvas.draw()
    assert film.steps == [0]
    assert film.panels[0].logit_axes.get_xlim() == (0, 2)


@pytest.mark.parametrize(("n_labels", "runner_up", "others"), [(1, False, False), (2, True, False), (3, True, True)])
def test_few_labels(spiking, n_labels, runner_up, others):
    (panel,) = animate(spiking.isel(label=range(n_labels))).panels
    assert (panel.runner_up is not None, panel.others is not None) == (runner_up, others)
    assert len(panel.logit_axes.get_legend().get_texts()) == n_labels


def test_images_side_by_side_share_one_limit(spiking, rate, images):
    film = animate(spiking, rate, images, image=[2, 0], label="cat")
    peak = np.abs(rate["cam"].isel(image=[0, 2], label=0).values).max()
    assert [panel.input.axes.get_ylabel() for panel in film.panels] == ["image 2", "image 0"]
    assert {artist.get_clim() for panel in film.panels for artist in panel.maps} == {(-peak, peak)}
    bars = [ax for ax in film.figure.axes if ax.get_ylabel() == "CAM [logit]"]
    assert len(bars) == 1
    lefts = [ax.get_position().x0 for panel in film.panels for ax in panel.map_axes]
    assert lefts == sorted(lefts)


def test_one_limit_per_image(spiking, rate):
    film = animate(spiking, rate, image=[0, 1], label="cat", scale="image")
    peaks = np.abs(rate["cam"].values[:2, 0]).max(axis=(1, 2))
    assert [panel.maps[0].get_clim()[1] for panel in film.panels] == peaks.tolist()
    assert len([ax for ax in film.figure.axes if ax.get_xlabel() == "CAM [logit]"]) == 2


def test_one_limit_per_frame(spiking):
    film = animate(spiking, label="cat", scale="frame")
    for step in (0, 9):
        film.draw(step)
        assert film.panels[0].maps[0].get_clim()[1] == np.abs(spiking["cam"].values[0, step, 0]).max()
    (bar,) = [ax for ax in film.figure.axes if ax.get_xlabel() == "CAM [logit]"]
    assert bar.get_xlim() == film.panels[0].maps[0].get_clim()


def test_film_plays_along(spiking):
    moving = np.zeros((3, 10, 8, 8, 3))
    moving[:, 6] = 1
    film = animate(spiking, None, moving, label="cat")
    for step, brightness in [(5, 0), (6, 1)]:
        film.draw(step)
        np.testing.assert_allclose(film.panels[0].pictures[0].get_array(), np.full((8, 8), brightness))


def test_running_mean_is_named(spiking):
    spiking.attrs["time_reduction"] = "running mean"
    assert animate(spiking, label="cat").panels[0].map_axes[0].get_title() == "spiking, running mean\nlabel cat, 1 ms"


def test_silent_frames_draw_zero(spiking, rate):
    film = animate(spiking * 0, rate * 0, label="cat")
    film.figure.canvas.draw()
    assert film.panels[0].maps[0].get_clim() == (-1, 1)
    assert np.all(film.panels[0].maps[0].get_array() == 0)


def test_missing_logits_are_gaps(spiking):
    spiking["logits"][:, :2] = np.nan
    film = animate(spiking)
    film.figure.canvas.draw()
    assert np.all(np.isfinite(film.panels[0].logit_axes.get_ylim()))


@pytest.mark.parametrize("width", [8, 10])
@pytest.mark.parametrize("positions", [0, [0, 1, 2]])
@pytest.mark.parametrize(("scale", "with_scores"), [("shared", False), ("shared", True), ("image", True)])
def test_nothing_overlaps_or_is_cut_off(spiking, rate, scores, width, positions, scale, with_scores):
    centers = (np.arange(4) + 0.5) * width / 4 - 0.5
    spiking, rate = spiking.assign_coords(x=centers), rate.assign_coords(x=centers)
    spiking.attrs.update(time_reduction="running mean", input_shape=[8, width, 1])
    film = animate(
        spiking, rate, np.random.default_rng(0).random((3, 8, width)), image=positions, scale=scale,
        scores=scores if with_scores else None,
    )  # fmt: skip
    film.draw(9)
    film.figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in film.figure.axes]
    whole = film.figure.bbox
    for i, first in enumerate(boxes):
        assert min(first.x0, first.y0) >= -1 and first.x1 <= whole.x1 + 1 and first.y1 <= whole.y1 + 1
        for second in boxes[i + 1 :]:
            width = min(first.x1, second.x1) - max(first.x0, second.x0)
            height = min(first.y1, second.y1) - max(first.y0, second.y0)
            assert min(width, height) <= 1


def test_scores_grow_below_the_logits(spiking, rate, scores):
    film = animate(spiking, rate, scores=scores, image=[2, 0], label="emu")
    for position, panel in zip((2, 0), film.panels):
        limits = panel.score_axes.get_xlim(), panel.score_axes.get_ylim()
        expected = scores["pearson"].sel(label="emu").values[position]
        for step in (0, 7, 9):
            film.draw(step)
            np.testing.assert_array_equal(panel.score.get_ydata(), expected[: step + 1])
            np.testing.assert_allclose(panel.score.get_xdata(), np.arange(1, step + 2))
            np.testing.assert_allclose(panel.score_marker.get_xdata(), [step + 1] * 2)
        assert (panel.score_axes.get_xlim(), panel.score_axes.get_ylim()) == limits
        assert limits[0] == panel.logit_axes.get_xlim() == (0, 10)
        assert panel.score_axes.get_ylabel() == "pearson"
        assert panel.score_axes.get_xlabel() == "time [ms]" and panel.logit_axes.get_xlabel() == ""
        assert panel.score_axes.get_position().y1 < panel.logit_axes.get_position().y0
    # One ordinate for both, which shows zero, the best score and the worst of all.
    lows, highs = zip(*(panel.score_axes.get_ylim() for panel in film.panels))
    assert len(set(lows)) == len(set(highs)) == 1
    assert lows[0] < np.nanmin(scores["pearson"].values) < 0 and 1 < highs[0] < 1.1


def test_a_metric_is_chosen_by_name(spiking, rate, scores):
    (panel,) = animate(spiking, rate, scores=scores, metric="rmse", image=1, label="dog").panels
    panel.draw(9)
    np.testing.assert_array_equal(panel.score.get_ydata(), scores["rmse"].sel(label="dog").values[1])
    assert panel.score_axes.get_ylabel() == "rmse [logit]"
    # As large as the largest of all images, and down to zero, where maps agree.
    low, high = panel.score_axes.get_ylim()
    assert low < 0 and np.nanmax(scores["rmse"].values) < high


def test_without_scores_there_is_no_panel_for_them(spiking):
    (panel,) = animate(spiking).panels
    assert panel.score is panel.score_axes is None
    assert panel.logit_axes.get_xlabel() == "time [ms]"


def test_scores_of_a_real_comparison(spiking, rate):
    scores = nengo_cam.compare(spiking, rate)
    film = animate(spiking, rate, scores=scores, image=1, label="fox")
    film.draw(9)
    expected = [
        np.corrcoef(spiking["cam"].values[1, t, 3].ravel(), rate["cam"].values[1, 3].ravel())[0, 1] for t in range(10)
    ]
    np.testing.assert_allclose(film.panels[0].score.get_ydata(), expected, rtol=1e-6)
    assert film.panels[0].score_axes.get_title("right") == ""
    (panel,) = animate(nengo_cam.cumulative(spiking), rate, scores=scores).panels
    assert panel.score_axes.get_title("right") == "maps: single steps"


def test_axes_do_not_tremble(spiking, rate):
    """Titles of another height would move the axes if they were laid out anew."""
    film = animate(spiking, rate)
    axes = film.panels[0].map_axes[0]
    before = axes.get_position().bounds
    axes.set_title("one\ntwo\nthree\nfour")
    film.figure.canvas.draw()
    assert axes.get_position().bounds == before


def test_a_given_figure_keeps_its_layout(spiking):
    fig = Figure(layout="tight")
    engine = fig.get_layout_engine()
    assert animate(spiking, fig=fig).figure is fig
    assert fig.get_layout_engine() is engine


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": [0, 7]}, ParameterError, r"image: not a position .* got \[0, 7\]"),
        ({"label": "gnu"}, LabelError, "label 'gnu'"),
        ({"scale": (3, 1)}, ParameterError, "scale: not a range"),
        ({"fps": 0}, ParameterError, "fps: not a frame rate; .* got 0"),
        ({"fps": "fast"}, ParameterError, "fps: not a frame rate; .* got 'fast'"),
        ({"stride": 0}, ParameterError, "stride: not a number of steps; .* got 0"),
        ({"stride": 1.5}, ParameterError, "stride: not a number of steps; .* got 1.5"),
        ({"alpha": 2}, ParameterError, "alpha: not an opacity"),
        ({"cmap": "nope"}, ParameterError, "cmap: unknown"),
        ({"images": np.zeros((3, 5, 5))}, ImageError, "wrong number of pixels"),
        ({"images": np.zeros((2, 8, 8)), "image": 2}, ImageError, "none for the image coordinate 2"),
    ],
)
def test_errors_come_before_drawing(spiking, arguments, error, message):
    fig = Figure()
    with pytest.raises(error, match=message):
        animate(spiking, fig=fig, **arguments)
    assert not fig.axes


def test_scores_that_do_not_fit(spiking, rate, scores):
    fig = Figure()
    for arguments, error, message in [
        ({"scores": scores, "metric": "ssim"}, ParameterError, r"expected one of \['pearson', 'rmse'\], got 'ssim'"),
        ({"metric": "rmse"}, ParameterError, "metric: nothing to choose from; expected scores .* got metric='rmse'"),
        ({"scores": scores["rmse"]}, ResultError, "scores: expected a Dataset .* got DataArray"),
        ({"scores": rate}, ResultError, "scores: expected a Dataset with a variable over .*, got dims "),
        ({"scores": scores.isel(image=[0]), "image": 1}, ResultError, "no entry of 'image' .*; expected 1, got .0."),
        ({"scores": scores.isel(label=[1]), "label": "cat"}, ResultError, "no entry of 'label' .*; expected 'cat'"),
        ({"scores": scores.isel(time=slice(4))}, ResultError, "expected 10 up to 0.01 s, got 4 up to 0.004 s"),
    ]:
        with pytest.raises(error, match=message):
            animate(spiking, rate, fig=fig, **arguments)
    assert not fig.axes


def test_pair_that_does_not_fit(spiking, rate):
    with pytest.raises(ResultError, match="spiking: no dim 'time'"):
        animate(rate, spiking)
    with pytest.raises(ResultError, match="rate: has a dim 'time'"):
        animate(spiking, spiking)
    with pytest.raises(ResultError, match="rate: its 'y' differs"):
        animate(spiking, rate.isel(y=[0, 1]))


@pytest.mark.parametrize("scale", ["shared", "image", "frame", (-2.0, 3.0)])
def test_rate_maps_of_moving_input_play_along(spiking, moving_rate, images, scale):
    shuffled = moving_rate.transpose("x", "label", "y", "time", "image")
    film = animate(spiking, shuffled, images, image=[2, 1], label="dog", scale=scale)
    theirs = moving_rate.cam.sel(label="dog")
    for step in (0, 7, 3):
        film.draw(step)
        for panel, image in zip(film.panels, (2, 1)):
            np.testing.assert_array_equal(panel.maps[1].get_array(), theirs[image, step])
            peak = {
                "shared": np.abs(theirs[[2, 1]]).max(),
                "image": np.abs(theirs[image]).max(),
                "frame": np.abs(theirs[image, step]).max(),
            }
            expected = scale if isinstance(scale, tuple) else (-peak[scale], peak[scale])
            np.testing.assert_allclose(panel.maps[1].get_clim(), expected)
            np.testing.assert_allclose(panel.reference.get_xdata(), np.arange(1, step + 2))
            logits = moving_rate.logits.sel(label="dog")[image]
            np.testing.assert_array_equal(panel.reference.get_ydata(), logits[: step + 1])
            low, high = panel.logit_axes.get_ylim()
            assert low < logits.min() and logits.max() < high


def test_steps_of_moving_input_have_to_be_the_same(spiking, moving_rate):
    late = moving_rate.assign_coords(time=moving_rate.time + 0.001)
    with pytest.raises(ResultError, match=r"rate: its 'time' differs .* Select the same steps of both"):
        animate(spiking, late)
    animate(spiking.isel(time=[3, 6]), moving_rate.isel(time=[3, 6]))
    # Only a film can follow.
    with pytest.raises(ResultError, match="rate: has a dim 'time'"):
        nengo_cam.timeline(spiking, moving_rate)


def test_answers_to_moving_input_are_said_at_each_step(spiking, moving_rate):
    """A network that is late by three steps says so while it is."""
    logits = np.zeros((3, 10, 4), np.float32)
    logits[:, :5, 0] = logits[:, 5:, 1] = 1
    moving_rate = moving_rate.assign(logits=(("image", "time", "label"), logits))
    own = np.concatenate([logits[:, :1].repeat(3, axis=1), logits[:, :-3]], axis=1)
    late = spiking.assign(logits=(("image", "time", "label"), own)).assign_attrs(readout="level")
    same, differ = ["", ""], ["network: cat", "CNN: dog"]

    def said(panel):
        return [text.get_text() if text.get_visible() else "" for text in panel.said]

    film = animate(late, moving_rate, image=1, label="dog")
    for step in (4, 5, 7, 8, 4):
        film.draw(step)
        assert said(film.panels[0]) == (differ if 5 <= step <= 7 else same)
        # Each step says it by itself, whatever the Dataset says of the last one.
        assert [ax.get_xlabel() for ax in film.panels[0].map_axes] == same
    alone = animate(late.assign(cnn_logits=moving_rate.logits), image=1, label="dog")
    alone.draw(6)
    assert said(alone.panels[0]) == ["network: cat\nCNN: dog"]
    # Single steps of unit spikes are no answers, and the CNN's logits are none once they were smoothed.
    assert animate(late.assign_attrs(readout="mean"), moving_rate).panels[0].said == []
    smoothed = late.assign(cnn_logits=moving_rate.logits).assign_attrs(time_reduction="smoothed by Lowpass(tau=0.01)")
    assert animate(smoothed).panels[0].said == []
    assert len(animate(smoothed, moving_rate).panels[0].said) == 2


def test_there_is_room_for_answers_that_differ_for_a_while(spiking, moving_rate):
    """What is said only in the middle of a film covers neither the legend nor another map."""
    logits = np.zeros((3, 10, 4), np.float32)
    logits[..., 0] = 1
    own = logits.copy()
    own[:, 4, 2] = 2
    moving_rate = moving_rate.assign(logits=(("image", "time", "label"), logits))
    held = spiking.assign(logits=(("image", "time", "label"), own)).assign_attrs(readout="level")
    film = animate(held, moving_rate)
    # The first drawing of a figure starts the film.
    film.figure.draw_without_rendering()
    film.draw(4)
    film.figure.draw_without_rendering()
    (panel,) = film.panels
    legend = panel.logit_axes.get_legend().get_window_extent()
    for text, ax in zip(panel.said, panel.map_axes):
        box = text.get_window_extent()
        assert text.get_visible()
        assert legend.y1 < box.y0 < box.y1 < ax.get_window_extent().y0 + 1


def test_the_input_comes_first_in_its_colors(spiking, rate, rng):
    """In every figure of several panels; under maps color belongs to the map."""
    photographs = rng.integers(0, 255, size=(3, 8, 8, 3))
    shown = (photographs[1] - photographs[1].min()) / np.ptp(photographs[1])
    film = animate(spiking, rate, photographs, image=1, label="dog")
    drawn = nengo_cam.timeline(spiking, rate, photographs, image=1, label="dog")
    compared = nengo_cam.comparison(spiking, rate, photographs, image=1, label="dog")
    (panel,) = film.panels
    for artist, others in [
        (panel.input, panel.map_axes),
        (drawn.image, drawn.axes[1:]),
        (compared.images[0], compared.axes[0][1:]),
    ]:
        np.testing.assert_allclose(artist.get_array(), shown)
        assert artist.axes.get_title() == "input"
        for ax in others:
            assert artist.axes.get_position().x1 < ax.get_position().x0
            assert ax.images[0].get_array().shape == (8, 8)
    assert animate(spiking, rate).panels[0].input is None


def test_events_are_shades_of_gray_in_the_film(spiking):
    events = np.zeros((3, 10, 8, 8, 2))
    events[0, 4, 2, 3] = [1, 0]
    events[0, 5, 2, 3] = [0, 1]
    film = animate(spiking.assign_attrs(input_shape=[8, 8, 2]), None, events, label="dog")
    for step, shade in ((3, 0.5), (4, 0), (5, 1)):
        film.draw(step)
        assert film.panels[0].input.get_array()[2, 3] == shade
        assert film.panels[0].input.get_array()[0, 0] == 0.5
