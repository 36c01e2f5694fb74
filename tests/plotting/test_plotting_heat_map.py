"""Maps of signals: every figure draws them along the signal, and over time as a heat map."""

import numpy as np
import pytest
import xarray as xr

from nengo_cam import plotting
from nengo_cam.exceptions import ImageError, ResultError
from nengo_cam.plotting.heat_map import label_times, peak_limits

N_PIXELS, CELLS, N_STEPS = 20, 4, 10


def build(rng, with_time):
    """Maps of 4 cells of 4 pixels each in the middle of 20, whose means are the logits."""
    dims = ("image", *(("time",) if with_time else ()), "label", "x")
    sizes = {"image": 3, "time": N_STEPS, "label": 4, "x": CELLS}
    cam = rng.normal(size=[sizes[dim] for dim in dims])
    coords = {"image": np.arange(3), "label": ["cat", "dog", "emu", "fox"], "x": 4.0 * np.arange(CELLS) + 3.5}
    if with_time:
        coords["time"] = 0.001 * (np.arange(N_STEPS) + 1)
    variables = {"cam": (dims, cam), "logits": (dims[:-1], cam.mean(-1))}
    return xr.Dataset(variables, coords, {"input_shape": [N_PIXELS, 2], "dt": 0.001})


@pytest.fixture
def spiking(rng):
    return build(rng, True)


@pytest.fixture
def rate(rng):
    return build(rng, False)


@pytest.fixture
def signals(rng):
    return rng.uniform(-3, 7, size=(3, N_PIXELS, 2))


def to_the_ends(maps):
    """Repeat the outermost of 4 cells once on each side, by hand."""
    return np.concatenate([maps[..., :1], maps, maps[..., -1:]], axis=-1)


def stretched(signal):
    return (signal - signal.min()) / np.ptp(signal)


def test_a_timeline_is_a_heat_map_below_the_signal(spiking, rate, signals):
    drawn = plotting.timeline(spiking, rate, signals, image=1, label="dog")
    ours, theirs = spiking.cam[1, :, 1].values, rate.cam[1, 1].values
    np.testing.assert_array_equal(drawn.maps[0].get_array(), to_the_ends(ours))
    np.testing.assert_array_equal(drawn.maps[1].get_array(), to_the_ends(theirs[None]))
    reach = np.abs(theirs).max()
    assert [artist.get_clim() for artist in drawn.maps] == [(-reach, reach)] * 2
    for line, channel in zip(drawn.image, stretched(signals[1]).T):
        np.testing.assert_allclose(line.get_ydata(), channel)
    signal, over_time, strip = drawn.axes
    # Places of all are those of the signal, and rows are times, the first on top.
    assert {ax.get_xlim() for ax in drawn.axes} == {(-0.5, 19.5)}
    assert over_time.get_ylim() == (9.5, -0.5)
    assert signal.get_position().y0 > over_time.get_position().y0 > strip.get_position().y0
    steps = over_time.get_yticks()
    np.testing.assert_allclose([float(text.get_text()) for text in over_time.get_yticklabels()], steps + 1)
    assert over_time.get_ylabel() == "time [ms]" and strip.get_ylabel() == "rate"
    assert drawn.times == pytest.approx(spiking.time.values.tolist())


def test_a_timeline_of_some_times_has_only_these(spiking, signals):
    drawn = plotting.timeline(spiking, None, signals, label="dog", times=[0.001, 0.002, 0.01])
    np.testing.assert_array_equal(drawn.maps[0].get_array(), to_the_ends(spiking.cam[0, [0, 1, 9], 1].values))
    assert drawn.times == pytest.approx([0.001, 0.002, 0.01])


def test_labels_of_a_timeline_stand_side_by_side(spiking, rate, signals):
    drawn = plotting.timeline(spiking, rate, signals, label=["fox", "cat"])
    assert len(drawn.axes) == 6 and len(drawn.maps) == 4 and len(drawn.colorbars) == 1
    for ax, artist, label in zip(drawn.axes[::3], drawn.maps[::2], ("fox", "cat")):
        np.testing.assert_array_equal(artist.get_array(), to_the_ends(spiking.cam[0].sel(label=label).values))
        assert ax.get_title() == f"label {label}"
    assert drawn.axes[0].get_position().x1 < drawn.axes[3].get_position().x0


def test_each_map_its_own_bar(spiking, rate):
    drawn = plotting.timeline(spiking, rate, label="dog", scale="frame")
    peaks = [np.abs(spiking.cam.values[0, :, 1]).max(), np.abs(rate.cam.values[0, 1]).max()]
    assert [bar.norm.vmax for bar in drawn.colorbars] == pytest.approx(peaks)


def test_a_comparison_has_rate_spiking_and_difference(spiking, rate, signals):
    drawn = plotting.comparison(spiking, rate, signals, image=[2, 0], label="emu")
    for row, i in zip(drawn.maps, (2, 0)):
        ours, theirs = spiking.cam[i, :, 2].values, rate.cam[i, 2].values
        for artist, expected in zip(row, (np.tile(theirs, (N_STEPS, 1)), ours, ours - theirs)):
            np.testing.assert_array_equal(artist.get_array(), to_the_ends(expected))
    reach = float(np.abs(rate.cam[[0, 2], 2]).max())
    assert {artist.get_clim() for row in drawn.maps for artist in row} == {(-reach, reach)}
    assert [ax.get_title() for ax in drawn.axes[0][-3:]] == ["", "", ""]
    assert [ax.get_title() for ax in drawn.axes[0][:3]] == ["rate", "spiking", "spiking − rate"]
    assert len(drawn.images) == 2 * 2
    assert drawn.axes[1][3].get_ylabel() == "image 0\nemu\ntime [ms]"
    few = plotting.comparison(spiking, rate, label="emu", times=[0.002, 0.004])
    np.testing.assert_array_equal(few.maps[0][1].get_array(), spiking.cam[0, [1, 3], 2])
    assert few.images == [] and few.times == pytest.approx([0.002, 0.004])


def test_an_overlay_has_strip_curve_and_signal(rate, signals):
    drawn = plotting.overlay(rate.cam[0, 3], signals[0])
    values = rate.cam[0, 3].values
    np.testing.assert_array_equal(drawn.map.get_array(), [to_the_ends(values)])
    for line, channel in zip(drawn.image, stretched(signals[0]).T):
        np.testing.assert_allclose(line.get_ydata(), channel)
    curve = drawn.axes.lines[-1]
    reach = np.abs(values).max()
    np.testing.assert_allclose(curve.get_ydata()[2:-2], (values + reach) / (2 * reach))
    # One channel needs no axis of channels.
    alone = plotting.overlay(rate.cam[0, 3], signals[0, :, 0])
    assert len(alone.image) == 1
    assert len(plotting.overlay(rate.cam[0, 3]).axes.lines) == 2


def test_films_of_signals_that_change(spiking, rate, rng):
    moving = rng.random((3, N_STEPS, N_PIXELS, 2))
    film = plotting.animate(spiking, rate, moving, image=1, label="dog", progress_bar=False)
    (panel,) = film.panels
    shown = stretched(moving[1])
    for step in (0, 7, 3):
        film.draw(step)
        np.testing.assert_array_equal(panel.maps[0].get_array(), [to_the_ends(spiking.cam[1, step, 1].values)])
        np.testing.assert_allclose(panel.input.get_ydata(), shown[step, :, 0])
        np.testing.assert_allclose(panel.drawn[1].signal[1].get_ydata(), shown[step, :, 1])
    assert panel.pictures == []


def test_rasters_of_signals(spiking, signals, rng):
    counts = rng.choice([0, 0, 1, 2], size=(3, N_STEPS, 5, CELLS))
    counts[:, 0] = 1
    kept = spiking.assign(features=(("image", "time", "channel", "x"), 1.5 * counts)).assign_attrs(synapse="None")
    drawn = plotting.raster(kept, signals, image=1, label="dog", neurons=[[2, 0, 1], [4, 0, 3]])
    mean = spiking.cam[1, :, 1].mean("time").values
    np.testing.assert_allclose(drawn.map.get_array(), [to_the_ends(mean)])
    assert [len(artist.get_positions()) for artist in drawn.spikes] == [
        counts[1, :, 2, 1].sum(),
        counts[1, :, 4, 3].sum(),
    ]
    # Cells of 4 pixels, the first from 1.5 on, as high as the axes.
    low, high = drawn.axes[1].get_ylim()
    boxes = [cell.get_bbox().bounds for cell in drawn.cells]
    np.testing.assert_allclose(boxes, [(5.5, low, 4, high - low), (13.5, low, 4, high - low)])
    assert len(drawn.image) == 2


def test_rows_of_steps_that_are_left_out(spiking):
    """Ticks stand at the rows whose times they name, or between them."""
    from matplotlib.figure import Figure

    times = np.array([0.001, 0.01, 0.02, 0.1])
    ax = Figure().subplots()
    label_times(ax, times)
    for place, text in zip(ax.get_yticks(), ax.get_yticklabels()):
        assert float(text.get_text()) == pytest.approx(np.interp(place, np.arange(4), 1000 * times))
    assert len(ax.get_yticks()) >= 2


def test_limits_hold_for_all_steps():
    np.testing.assert_array_equal(peak_limits(np.array([[-1.0, 1], [-3, 3], [-2, 2]])), [-3, 3])


def test_signals_that_do_not_fit(spiking, signals):
    with pytest.raises(ImageError, match=r"wrong number of pixels; expected \(20,\) \(X\) .* got \(19,\)"):
        plotting.timeline(spiking, None, signals[:, 1:])
    with pytest.raises(ImageError, match=r"wrong shape; expected \(N, X\), \(N, X, C\) or \(N, T, X, C\), got \(20,\)"):
        plotting.timeline(spiking, None, signals[0, :, 0])
    with pytest.raises(ImageError, match="do not fit the map"):
        plotting.overlay(spiking.cam[0, 0, 0], signals[0, 7:])
    with pytest.raises(ResultError, match=r"rate: its maps have other dims .*; expected \['x'\], got \['y', 'x'\]"):
        plotting.timeline(spiking, spiking.isel(time=0, drop=True).expand_dims(y=[0.5], axis=2).transpose(
            "image", "label", "y", "x"
        ).assign(logits=spiking.logits[:, 0].drop_vars("time")), label="dog")  # fmt: skip
