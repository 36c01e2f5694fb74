import io

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from nengo_cam.exceptions import LabelError, ParameterError, ResultError
from nengo_cam.plotting import agreement, localization

N_IMAGES, N_STEPS = 9, 6


@pytest.fixture
def scores(rng):
    """Two metrics of nine images and three labels."""
    dims, shape = ("image", "time", "label"), (N_IMAGES, N_STEPS, 3)
    higher = {"units": "1", "range": [-1.0, 1.0], "better": "higher"}
    lower = {"units": "logit", "range": [0.0, np.inf], "better": "lower"}
    return xr.Dataset(
        {"pearson": (dims, rng.uniform(-1, 1, shape), higher), "rmse": (dims, rng.uniform(0, 5, shape), lower)},
        {
            "image": np.arange(N_IMAGES),
            "time": 0.001 * np.arange(1, N_STEPS + 1),
            "label": ["cat", "dog", "emu"],
            "spiking_answer": ("image", np.array(["cat", "dog", "emu"])[np.arange(N_IMAGES) % 3]),
        },
    )


@pytest.fixture
def located(rng):
    """Localization scores of nine images with three labels, some of which have no object."""
    dims, shape = ("image", "time", "label"), (N_IMAGES, N_STEPS, 3)
    exist = rng.random((N_IMAGES, 3)) < 0.7
    exist[0] = True
    variables = {}
    for score in ("pointing", "energy", "iou"):
        variables[score] = (dims, np.where(exist[:, None], rng.random(shape), np.nan))
        for baseline in ("center", "random"):
            variables[f"{score}_{baseline}"] = (("image", "label"), np.where(exist, rng.random(exist.shape), np.nan))
    variables["iou_random"] = (dims, np.where(exist[:, None], rng.random(shape), np.nan))
    coords = {"image": np.arange(N_IMAGES), "time": 0.001 * np.arange(1, N_STEPS + 1), "label": list("abc")}
    return xr.Dataset(variables, coords)


def heights(band, at):
    """Lower and upper edge of a band at an abscissa."""
    vertices = np.concatenate([path.vertices for path in band.get_paths()])
    there = vertices[np.isclose(vertices[:, 0], at), 1]
    return there.min(), there.max()


def test_median_and_quartiles_of_the_answers(scores):
    drawn = agreement(scores)
    chosen = np.stack([scores.pearson[i, :, i % 3].values for i in range(N_IMAGES)])
    np.testing.assert_allclose(drawn.line.get_xdata(), np.arange(1, N_STEPS + 1))
    np.testing.assert_allclose(drawn.line.get_ydata(), np.median(chosen, axis=0))
    for t in range(N_STEPS):
        np.testing.assert_allclose(heights(drawn.band, t + 1), np.quantile(chosen[:, t], [0.25, 0.75]))
    assert drawn.axes.get_xlabel() == "time [ms]"
    assert drawn.axes.get_ylabel() == "pearson"
    assert drawn.axes.get_title() == "9 images"
    assert [text.get_text() for text in drawn.axes.get_legend().get_texts()] == ["median", "quartiles"]


def test_other_metrics_and_labels(scores):
    drawn = agreement(scores, metric="rmse", label="dog", threshold=2)
    np.testing.assert_allclose(drawn.line.get_ydata(), scores.rmse.sel(label="dog").median("image"))
    assert drawn.axes.get_ylabel() == "rmse [logit]"
    assert set(drawn.threshold.get_ydata()) == {2}
    each = ["emu"] * 4 + ["cat"] * 5
    expected = np.median([scores.rmse.sel(label=name)[i] for i, name in enumerate(each)], axis=0)
    np.testing.assert_allclose(agreement(scores, metric="rmse", label=each).line.get_ydata(), expected)


@pytest.mark.parametrize(("metric", "worst"), [("pearson", -9), ("rmse", 99)])
@pytest.mark.filterwarnings("error")
def test_undefined_is_worse_than_all_and_not_drawn(scores, metric, worst):
    scores[metric][:, 0] = np.nan
    scores[metric][:4, 1] = np.nan
    drawn = agreement(scores, metric=metric, label="cat")
    drawn.axes.figure.canvas.draw()
    median = drawn.line.get_ydata()
    assert np.isnan(median[0])
    # Four of nine undefined: the median is the worst of those that are defined.
    known = scores[metric].sel(label="cat")[4:, 1].values
    assert median[1] == (known.min() if worst < 0 else known.max())
    assert not np.isclose(np.concatenate([p.vertices for p in drawn.band.get_paths()])[:, 0], 1).any()


def test_the_ordinate_shows_what_is_drawn(scores):
    scores["pearson"][..., 1] = -1
    scores["pearson"][..., 0] = np.abs(scores["pearson"][..., 0])
    assert agreement(scores, label="cat").axes.get_ylim() == pytest.approx((-0.03, 1.03))
    low, high = agreement(scores, metric="rmse", threshold=50).axes.get_ylim()
    assert low <= 0 and high > 50


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (lambda s: 3, {}, ResultError, "scores: expected a Dataset with a variable .* got int"),
        (lambda s: s, {"metric": "ssim"}, ParameterError, r"metric: not in the scores; .* got 'ssim'"),
        (lambda s: s.drop_vars("spiking_answer"), {}, ResultError, "the answers are not known"),
        (lambda s: s, {"label": "cow"}, LabelError, r"(?s)label: expected one of .* got \['cow'"),
        (lambda s: s, {"label": ["cat", "dog"]}, LabelError, "one for each of 9, got 2"),
        (lambda s: s, {"threshold": "high"}, ParameterError, "threshold: expected a number, got 'high'"),
        (lambda s: s, {"threshold": np.nan}, ParameterError, "threshold: expected a number, got nan"),
    ],
)
def test_errors_of_agreement(scores, change, arguments, error, message):
    ax = Figure().subplots()
    with pytest.raises(error, match=message):
        agreement(change(scores), ax=ax, **arguments)
    assert not ax.lines


@pytest.mark.parametrize("score", ["pointing", "energy", "iou"])
def test_mean_over_objects_and_baselines(located, score):
    drawn = localization(located, score=score)
    np.testing.assert_allclose(drawn.line.get_ydata(), located[score].mean(["image", "label"]))
    for name in ("center", "random"):
        expected = located[f"{score}_{name}"].mean(["image", "label"]).values
        np.testing.assert_allclose(drawn.references[name].get_ydata(), np.broadcast_to(expected, N_STEPS))
    assert set(drawn.references) == {"center", "random"}
    names = {"pointing": "pointing accuracy", "energy": "energy on the object", "iou": "overlap (IoU)"}
    assert drawn.axes.get_ylabel() == names[score]
    n_objects = int(located[f"{score}_center"].notnull().sum())
    assert drawn.axes.get_title() == f"{n_objects} objects in 9 images"
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["spiking", "center", "random"]


def test_the_band_is_the_error_of_a_mean_over_clusters(located):
    drawn = localization(located)
    for t in range(N_STEPS):
        images = [values[~np.isnan(values)] for values in located.pointing[:, t].values]
        every = np.concatenate(images)
        images = [values for values in images if len(values)]
        sums = [np.sum(values - every.mean()) for values in images]
        error = np.sqrt(len(images) / (len(images) - 1) * np.sum(np.square(sums))) / len(every)
        np.testing.assert_allclose(heights(drawn.band, t + 1), [every.mean() - error, every.mean() + error])


def test_the_band_agrees_with_the_bootstrap_over_images():
    rng = np.random.default_rng(4)
    shared = rng.random((400, 1, 1))
    values = (shared + 0.1 * rng.random((400, 1, 2))) / 1.1
    flat = xr.Dataset(
        {"pointing": (("image", "time", "label"), values)}
        | {f"pointing_{name}": (("image", "label"), values[:, 0] * 0) for name in ("center", "random")},
        {"image": np.arange(400), "time": [0.001], "label": [0, 1]},
    )
    low, high = heights(localization(flat).band, 1)
    draws = rng.integers(0, 400, (4000, 400))
    assert (high - low) / 2 == pytest.approx(values.mean(axis=(1, 2))[draws].mean(axis=1).std(), rel=0.05)


def test_the_rate_network_is_a_level(located):
    rate = located.isel(time=3, drop=True)
    drawn = localization(located, score="energy", rate=rate)
    expected = float(rate.energy.mean())
    np.testing.assert_allclose(drawn.references["rate"].get_ydata(), expected)
    assert [text.get_text() for text in drawn.legend.get_texts()] == ["spiking", "rate", "center", "random"]


@pytest.mark.filterwarnings("error")
def test_undefined_scores_are_left_out_and_too_few_not_drawn(located):
    located["energy"][:, 0] = np.nan
    located["energy"][0, 1] = np.nan
    drawn = localization(located, score="energy")
    drawn.axes.figure.canvas.draw()
    assert np.isnan(drawn.line.get_ydata()[0])
    assert drawn.line.get_ydata()[1] == pytest.approx(float(located.energy[1:, 1].mean()))


def test_a_single_image_has_no_error(located):
    drawn = localization(located.isel(image=[0]))
    np.testing.assert_allclose(drawn.line.get_ydata(), located.pointing[0].mean("label"))
    assert drawn.axes.get_title() == "3 objects in 1 image"
    vertices = [path.vertices for path in drawn.band.get_paths()]
    assert not np.isfinite(vertices).any()


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (lambda s: 3, {}, ResultError, "scores: expected a Dataset with .* got int"),
        (lambda s: s, {"score": "speed"}, ParameterError, "score: expected one of .* got 'speed'"),
        (
            lambda s: s.drop_vars("pointing_random"),
            {},
            ResultError,
            "scores: expected a Dataset with .*pointing_random",
        ),
        (lambda s: s.isel(time=0), {}, ResultError, "scores: 'pointing' has the wrong dims"),
        (lambda s: s.isel(image=slice(0)), {}, ResultError, "scores: 'pointing' has the wrong dims, or is empty"),
        (lambda s: s * np.nan, {}, ResultError, "scores: there is no object"),
        (lambda s: s, {"rate": lambda s: s}, ResultError, "rate: 'pointing' has the wrong dims"),
        (lambda s: s, {"rate": lambda s: s.isel(time=0, image=[0])}, ResultError, "rate: its objects differ"),
        (lambda s: s, {"rate": lambda s: s.isel(time=0).fillna(0)}, ResultError, "rate: its objects differ"),
    ],
)
def test_errors_of_localization(located, change, arguments, error, message):
    arguments = {name: value(located) if callable(value) else value for name, value in arguments.items()}
    ax = Figure().subplots()
    with pytest.raises(error, match=message):
        localization(change(located), ax=ax, **arguments)
    assert not ax.lines


@pytest.mark.parametrize("figure", [agreement, localization])
def test_draw_on_given_axes_at_column_width_and_in_notebooks(scores, located, figure):
    data = scores if figure is agreement else located
    ax = Figure(figsize=(4, 3), dpi=100).subplots()
    drawn = figure(data, ax=ax)
    assert drawn.axes is ax
    assert Image.open(io.BytesIO(drawn._repr_png_())).size == (400, 300)
    drawn = figure(data)
    assert drawn.axes.figure.get_figwidth() == 3.3
    drawn.axes.figure.canvas.draw()
    box, whole = drawn.axes.get_tightbbox(), drawn.axes.figure.bbox
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
