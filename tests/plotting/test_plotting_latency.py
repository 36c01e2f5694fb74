import io

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from nengo_cam import latency_summary
from nengo_cam.exceptions import ResultError
from nengo_cam.plotting import latency

NAN = np.nan


def latencies(seconds, criterion="", images=None):
    seconds = np.array(seconds, float)
    coords = {"image": np.arange(len(seconds)) if images is None else images}
    return xr.Dataset({"latency": ("image", seconds)}, coords, {"criterion": criterion, "duration": 0.1})


@pytest.fixture
def pair():
    """Map first, together, decision first twice, never agrees, never decides, neither."""
    decision = latencies([0.05, 0.02, 0.01, 0.03, 0.04, NAN, NAN], "the answer stays the same")
    explanation = latencies([0.01, 0.02, 0.08, 0.09, NAN, 0.07, NAN], "rmse <= 0.9")
    return decision, explanation


def test_points_are_the_latencies_and_never_lies_beyond_the_run(pair):
    drawn = latency(*pair)
    never = 112
    np.testing.assert_allclose(
        drawn.points.get_offsets(),
        [(50, 10), (20, 20), (10, 80), (30, 90), (40, never), (never, 70), (never, never)],
    )
    assert drawn.axes.get_xlim() == drawn.axes.get_ylim()
    assert drawn.axes.get_xlim()[1] > never
    np.testing.assert_array_equal(drawn.diagonal.get_xydata(), [(0, 0), (100, 100)])


def test_counts_are_those_of_the_summary(pair):
    drawn = latency(*pair)
    assert drawn.counts == {
        "explanation": 2, "same": 1, "decision": 3, "neither": 1, "undecided": 2, "unexplained": 2,
    }  # fmt: skip
    summary = latency_summary(*pair)
    for name in summary["first"].values:
        assert drawn.counts[name] == 7 * float(summary.order.sel(first=name))
    assert drawn.counts["undecided"] == 7 * float(summary.never.sel(of="decision"))
    assert drawn.counts["unexplained"] == 7 * float(summary.never.sel(of="explanation"))
    medians = 1000 * summary.latency.sel(quantile=0.5).values
    np.testing.assert_allclose([drawn.medians[0].get_xdata()[0], drawn.medians[1].get_ydata()[0]], medians)


def test_labels_say_what_is_counted(pair):
    ax = latency(*pair).axes
    assert ax.get_title() == "7 images\nmap first 2, decision first 3, together 1, neither 1"
    assert ax.get_xlabel() == "decision latency [ms]\nthe answer stays the same"
    assert ax.get_ylabel() == "explanation latency [ms]\nrmse ≤ 0.9"
    assert ax.get_xticklabels()[-1].get_text() == "\nnever (2)"
    assert ax.get_yticklabels()[-1].get_text() == "never\n(2)"
    one = latency(latencies([0.01]), latencies([0.02]))
    assert one.axes.get_title() == "1 image\nmap first 0, decision first 1"
    assert one.axes.get_xlabel() == "decision latency [ms]"


@pytest.mark.filterwarnings("error")
def test_a_median_that_never_comes_is_not_drawn():
    drawn = latency(latencies([NAN, NAN, 0.01]), latencies([0.01, 0.03, NAN]))
    assert len(drawn.medians) == 1
    assert set(drawn.medians[0].get_ydata()) == {30}
    # Between a settled image and one that never settles there is no median either.
    assert not latency(latencies([NAN, 0.01]), latencies([NAN, NAN])).medians


def test_times_from_a_file_are_still_the_same():
    assert latency(latencies([np.float32(0.1)]), latencies([0.1])).counts["same"] == 1


def test_draws_on_given_axes_and_at_column_width(pair):
    ax = Figure(figsize=(4, 4), dpi=100).subplots()
    drawn = latency(*pair, ax=ax, color="green")
    assert drawn.axes is ax
    np.testing.assert_allclose(drawn.points.get_facecolor()[0][:3], to_rgba("green")[:3])
    assert Image.open(io.BytesIO(drawn._repr_png_())).size == (400, 400)
    drawn = latency(*pair)
    fig = drawn.axes.figure
    assert fig.get_figwidth() == 3.3
    fig.canvas.draw()
    box = drawn.axes.get_tightbbox()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= fig.bbox.x1 and box.y1 <= fig.bbox.y1
    labels = [text.get_window_extent() for text in drawn.axes.get_yticklabels()]
    assert all(low.y1 < high.y0 for low, high in zip(labels, labels[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, e: (3, e), "decision: expected a Dataset .* got int"),
        (lambda d, e: (d, e.expand_dims("label")), r"explanation: .* got dims \('label', 'image'\)"),
        (lambda d, e: (xr.Dataset(d.data_vars, d.coords), e), r"decision: .* attrs\['duration'\]"),
        (lambda d, e: (d.isel(image=slice(0)), e), "decision: expected at least one image"),
        (lambda d, e: (d, e.isel(image=slice(3))), "explanation: its images differ"),
        (lambda d, e: (d, e.assign_coords(image=e.image + 1)), "explanation: its images differ"),
    ],
)
def test_errors_come_before_drawing(pair, change, message):
    ax = Figure().subplots()
    with pytest.raises(ResultError, match=message):
        latency(*change(*pair), ax=ax)
    assert not ax.lines
