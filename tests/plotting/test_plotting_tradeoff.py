import io

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from nengo_cam.exceptions import ParameterError, ResultError
from nengo_cam.plotting import tradeoff

RATES = [200.0, 50.0, 1000.0]


@pytest.fixture
def curve(rng):
    """Two neuron types, three rates that are out of order, eight steps."""
    shape = (2, 3, 8)
    dims = ("neurons", "target_rate", "time")
    spikes = np.cumsum(rng.integers(1000, 50_000, shape), axis=-1).astype(float)
    spikes[:, :, 0] = 0
    return xr.Dataset(
        {
            "accuracy": (dims, rng.uniform(0, 1, shape)),
            "agreement": (dims, rng.uniform(0, 1, shape)),
            "cam_correlation": ((*dims, "quantile"), np.sort(rng.uniform(-0.3, 1, (*shape, 4)), axis=-1)),
            "spikes_per_image": (dims, spikes),
            "rate_accuracy": ((), 0.97),
        },
        {
            "neurons": ["IF", "SRL"],
            "target_rate": RATES,
            "time": 0.001 * np.arange(1, 9),
            "quantile": [0.05, 0.25, 0.5, 0.75],
        },
    )


def test_lines_hold_the_data(curve):
    drawn = tradeoff(curve)
    assert np.shape(drawn.axes) == (2, 4)
    assert np.shape(drawn.lines) == (2, 4, 3)
    times = np.arange(1, 9)
    for row, name in enumerate(["IF", "SRL"]):
        for i, rate in enumerate(sorted(RATES)):
            here = curve.sel(neurons=name, target_rate=rate)
            median = here.cam_correlation.sel(quantile=0.5)
            spikes = here.spikes_per_image.where(here.spikes_per_image > 0)
            panels = [(times, here.accuracy), (spikes, here.accuracy), (times, median), (spikes, median)]
            for lines, (x, y) in zip(drawn.lines[row], panels):
                np.testing.assert_allclose(lines[i].get_xdata(), x)
                np.testing.assert_array_equal(lines[i].get_ydata(), y)


def test_bands_are_the_quartiles(curve):
    drawn = tradeoff(curve)
    assert np.shape(drawn.bands) == (2, 3)
    band = drawn.bands[1][0].get_paths()[0].vertices
    expected = curve.cam_correlation.sel(neurons="SRL", target_rate=50)
    for t in range(8):
        heights = band[band[:, 0] == t + 1, 1]
        assert heights.min() == pytest.approx(float(expected.sel(quantile=0.25)[t]))
        assert heights.max() == pytest.approx(float(expected.sel(quantile=0.75)[t]))


def test_labels_scales_and_legend(curve):
    drawn = tradeoff(curve)
    for row, name in zip(drawn.axes, ["IF", "SRL"]):
        assert row[0].get_title(loc="left") == name
        assert [ax.get_ylabel() for ax in row] == ["accuracy", "", "CAM correlation", ""]
        assert [ax.get_xscale() for ax in row] == ["linear", "log"] * 2
        assert row[0].get_ylim() == row[1].get_ylim() == (-0.02, 1.02)
        lowest = float(curve.cam_correlation.sel(quantile=0.25).min())
        assert row[2].get_ylim() == row[3].get_ylim() == pytest.approx((min(lowest, 0) - 0.02, 1.02))
        assert row[1].get_xlim() == row[3].get_xlim() == drawn.axes[0][1].get_xlim()
    assert [ax.get_xlabel() for ax in drawn.axes[-1]] == ["time [ms]", "spikes per image"] * 2
    assert not any(ax.get_xlabel() for ax in drawn.axes[0])
    most = float(curve.spikes_per_image.max())
    low, high = drawn.axes[0][1].get_xlim()
    assert low < most / 100 and most < high < 2 * most
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["50", "200", "1000", "CNN"]
    assert drawn.legend.get_title().get_text() == "target\nrate [Hz]"


def test_one_color_per_rate_from_dark_to_light(curve):
    drawn = tradeoff(curve)
    colors = [line.get_color() for line in drawn.lines[0][0]]
    for panel in drawn.lines[0] + drawn.lines[1]:
        np.testing.assert_array_equal([line.get_color() for line in panel], colors)
    assert np.all(np.diff(np.array(colors)[:, :3] @ [0.3, 0.6, 0.1]) > 0)


@pytest.mark.parametrize(("n_steps", "marked"), [(100, [24, 49, 74, 99]), (8, [1, 3, 5, 7]), (2, [0, 1]), (1, [0])])
def test_dots_tie_the_panels_together(curve, n_steps, marked):
    time = 0.001 * np.arange(1, n_steps + 1)
    stretched = curve.isel(time=np.arange(n_steps) % 8).assign_coords(time=time)
    drawn = tradeoff(stretched)
    assert all(line.get_markevery() == marked for row in drawn.lines for panel in row for line in panel)


def test_the_reference_is_the_accuracy_of_the_cnn(curve):
    drawn = tradeoff(curve)
    assert [line.axes for line in drawn.references] == [ax for row in drawn.axes for ax in row[:2]]
    assert all(set(line.get_ydata()) == {0.97} for line in drawn.references)
    assert not tradeoff(curve, measure="agreement").references
    assert not tradeoff(curve.drop_vars("rate_accuracy")).references


def test_agreement_if_accuracy_was_not_measured(curve):
    for drawn in (tradeoff(curve.drop_vars(["accuracy", "rate_accuracy"])), tradeoff(curve, measure="agreement")):
        assert drawn.axes[0][0].get_ylabel() == "agreement"
        np.testing.assert_array_equal(drawn.lines[0][0][0].get_ydata(), curve.agreement[0, 1])
        assert [text.get_text() for text in drawn.legend.get_texts()] == ["50", "200", "1000"]


def test_a_selection_is_drawn(curve):
    one = tradeoff(curve.sel(neurons="SRL", target_rate=50))
    assert np.shape(one.lines) == (1, 4, 1)
    np.testing.assert_array_equal(one.lines[0][0][0].get_ydata(), curve.accuracy[1, 1])
    some = tradeoff(curve.sel(target_rate=[1000, 50]).isel(time=slice(2, 5)))
    assert np.shape(some.lines) == (2, 4, 2)
    np.testing.assert_array_equal(some.lines[1][2][1].get_ydata(), curve.cam_correlation[1, 2, 2:5, 2])


# An old Matplotlib calls what a new pyparsing deprecates.
@pytest.mark.filterwarnings("error", "ignore::DeprecationWarning")
def test_burn_in_and_silence_draw_nothing(curve):
    curve["accuracy"][:, :, :3] = np.nan
    curve["cam_correlation"][:, :, :3] = np.nan
    drawn = tradeoff(curve)
    drawn.figure.canvas.draw()
    assert np.isnan(drawn.lines[0][0][0].get_ydata()[:3]).all()
    tradeoff(curve * 0).figure.canvas.draw()
    tradeoff(curve * np.nan).figure.canvas.draw()


def test_draws_on_a_given_figure_and_in_notebooks(curve):
    fig = Figure(figsize=(6, 4), layout="constrained")
    part = fig.subfigures(2, 1)[0]
    drawn = tradeoff(curve, fig=part)
    assert drawn.figure is part
    assert Image.open(io.BytesIO(drawn._repr_png_())).size == (600, 400)


def test_nothing_is_cut_off(curve):
    drawn = tradeoff(curve)
    drawn.figure.canvas.draw()
    width, height = drawn.figure.bbox.max
    artists = [drawn.legend, *(ax for row in drawn.axes for ax in row)]
    boxes = [artist.get_tightbbox(drawn.figure.canvas.get_renderer()) for artist in artists]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= width and b.y1 <= height for b in boxes)


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (lambda c: c.accuracy, {}, ResultError, "curve: expected an xarray.Dataset, got DataArray"),
        (lambda c: c.drop_vars(["agreement"]), {}, ResultError, r"curve: .* got no \['agreement'\]"),
        (lambda c: c.drop_vars("target_rate"), {}, ResultError, r"got no \['target_rate'\]"),
        (lambda c: c.isel(time=slice(0)), {}, ResultError, "has the wrong dims; .* none empty"),
        (lambda c: c.expand_dims("seed"), {}, ResultError, "'agreement' has the wrong dims"),
        (lambda c: c.sel(quantile=[0.5]), {}, ResultError, r"expected the quantiles \[0.25, 0.5, 0.75\], got \[0.5\]"),
        (lambda c: c.sel(quantile=0.5), {}, ResultError, "'cam_correlation' has the wrong dims"),
        (lambda c: c.drop_vars("accuracy"), {"measure": "accuracy"}, ResultError, "'accuracy' was not measured"),
        (lambda c: c, {"measure": "speed"}, ParameterError, "measure: not a measure .* got 'speed'"),
        (lambda c: c, {"cmap": "nope"}, ParameterError, "cmap: unknown to matplotlib; .* got 'nope'"),
    ],
)
def test_errors_come_before_drawing(curve, change, arguments, error, message):
    fig = Figure()
    with pytest.raises(error, match=message):
        tradeoff(change(curve), fig=fig, **arguments)
    assert not fig.axes


def test_rates_of_held_levels_are_shown_as_levels(curve):
    held = curve.assign_coords(quantum=("neurons", [0.5, 0.5]))
    drawn = tradeoff(held)
    assert drawn.legend.get_title().get_text() == "levels"
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["100", "400", "2000", "CNN"]
    assert [row[0].get_title("left") for row in drawn.axes] == ["IF", "SRL"]
    assert tradeoff(held.sel(neurons="SRL")).legend.get_title().get_text() == "levels"


def test_rows_say_their_levels_where_others_have_rates(curve):
    mixed = curve.assign_coords(quantum=("neurons", [np.nan, 0.5]))
    drawn = tradeoff(mixed)
    assert drawn.legend.get_title().get_text() == "target\nrate [Hz]"
    assert [text.get_text() for text in drawn.legend.get_texts()][:3] == ["50", "200", "1000"]
    assert [row[0].get_title("left") for row in drawn.axes] == ["IF", "SRL, levels: rate / 0.5 Hz"]
    # Two quanta make two numbers of levels of one rate.
    two = tradeoff(curve.assign_coords(quantum=("neurons", [1.0, 0.5])))
    assert [row[0].get_title("left") for row in two.axes] == ["IF, levels: rate / 1 Hz", "SRL, levels: rate / 0.5 Hz"]


def test_a_title_above_all_panels(curve):
    title = tradeoff(curve, title="a $b$").figure._suptitle
    assert title.get_text() == "a $b$" and not title.get_parse_math()
    assert tradeoff(curve).figure._suptitle is None
