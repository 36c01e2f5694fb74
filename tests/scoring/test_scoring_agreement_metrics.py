import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance
from skimage.metrics import structural_similarity
from sklearn.metrics import jaccard_score, mean_squared_error

from nengo_cam.exceptions import ParameterError
from nengo_cam.scoring import agreement

pytestmark = pytest.mark.filterwarnings("error")


def scikit_image(ours, theirs):
    window = 7 if min(ours.shape) >= 7 else (min(ours.shape) - 1) // 2 * 2 + 1
    return structural_similarity(ours, theirs, data_range=theirs.max() - theirs.min(), win_size=window)


def strongest_by_loop(values, k):
    kth = sorted(values.ravel().tolist(), reverse=True)[k - 1]
    return [value >= kth for value in values.ravel().tolist()]


def overlap(ours, theirs, fraction=0.1):
    k = math.ceil(round(fraction * ours.size, 9))
    return jaccard_score(strongest_by_loop(ours, k), strongest_by_loop(theirs, k))


#: Independent implementations, of one map against another in double precision.
ORACLES = {
    "pearson": lambda ours, theirs: stats.pearsonr(ours.ravel(), theirs.ravel())[0],
    "spearman": lambda ours, theirs: stats.spearmanr(ours.ravel(), theirs.ravel())[0],
    "cosine": lambda ours, theirs: 1 - distance.cosine(ours.ravel(), theirs.ravel()),
    "rmse": lambda ours, theirs: math.sqrt(mean_squared_error(ours.ravel(), theirs.ravel())),
    "ssim": scikit_image,
    "topk_iou": overlap,
}


def make_maps(kind, shape, seed=0):
    """Maps that are easy to get wrong."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=shape)
    if kind == "single precision":
        return maps.astype(np.float32)
    if kind == "ties":
        return rng.integers(-2, 3, shape)
    if kind == "sparse":
        return np.where(rng.random(shape) < 0.04, maps, 0.0) + np.eye(1, math.prod(shape), seed).reshape(shape)
    if kind == "far from zero":
        return 1000 + maps
    if kind == "tiny":
        return 1e-30 * maps
    return np.array(maps)


KINDS = ["normal", "single precision", "ties", "sparse", "far from zero", "tiny"]


@pytest.mark.parametrize("shape", [(28, 28), (7, 9), (4, 5), (40,), (4, 8, 5)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ORACLES)
def test_against_an_independent_implementation(name, kind, shape):
    maps = np.stack([make_maps(kind, shape, seed) for seed in range(3)])
    references = np.stack([make_maps("normal", shape, 10), make_maps(kind, shape, 11)])
    found = agreement.get_metric(name).function(maps[:, None], references, n_axes=len(shape))
    assert found.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        expected = ORACLES[name](maps[i].astype(float), references[j].astype(float))
        assert found[i, j] == pytest.approx(expected, abs=1e-6)


def test_every_metric_has_an_oracle():
    assert sorted(agreement.metric_names()) == sorted(ORACLES)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e7])
@pytest.mark.parametrize("name", ["pearson", "spearman", "topk_iou"])
def test_constant_maps_are_undefined(name, constant):
    """0.1 has a mean that is rounded: its map must not correlate."""
    function = agreement.get_metric(name).function
    constant, varied = np.full((5, 7), constant), make_maps("normal", (5, 7))
    assert np.isnan([function(constant, varied), function(varied, constant), function(constant, constant)]).all()


def test_what_is_undefined_depends_on_the_metric():
    blank, varied = np.zeros((5, 7)), make_maps("normal", (5, 7))
    assert np.isnan([agreement.cosine(blank, varied), agreement.ssim(varied, blank)]).all()
    assert agreement.cosine(np.ones((2, 2)), np.full((2, 2), 3.0)) == pytest.approx(1)
    assert agreement.rmse(blank, blank + 2) == 2
    # Without contrast nothing is left but the two constants.
    expected = structural_similarity(blank, varied, data_range=np.ptp(varied), win_size=5)
    assert agreement.ssim(blank, varied) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ORACLES)
def test_maps_that_hold_nan_score_nan_and_leave_the_others_alone(name):
    function = agreement.get_metric(name).function
    maps, reference = make_maps("normal", (3, 8, 8)), make_maps("normal", (8, 8), 5)
    holed = maps.copy()
    holed[1, 2, 3] = np.nan
    expected = function(maps, reference)
    expected[1] = np.nan
    np.testing.assert_array_equal(function(holed, reference), expected)
    assert np.isnan(function(reference, holed[1]))


def test_equal_values_at_the_threshold_are_all_strongest():
    ours = np.array([3, 1, 1, 1, 0, 0, 0, 0, 0, 0.0])
    theirs = np.array([3, 1, 0, 0, 0, 0, 0, 0, 0, 2.0])
    # Two of ten were asked for: {0, 1, 2, 3} against {0, 9}.
    assert agreement.topk_iou(ours, theirs, n_axes=1, fraction=0.2) == pytest.approx(1 / 5)
    # k is rounded up, but not for rounding: 0.1 of 30 are 3.
    line = np.arange(30.0)
    assert agreement.topk_iou(line, np.roll(line, 2), n_axes=1, fraction=0.1) == pytest.approx(1 / 5)


def test_options_of_ssim():
    ours, theirs = make_maps("normal", (2, 9, 9)), make_maps("normal", (2, 9, 9), 1)
    ranges = np.array([2.0, 5.0])
    found = agreement.ssim(ours, theirs, data_range=ranges, window=3)
    for i in range(2):
        expected = structural_similarity(ours[i], theirs[i], data_range=ranges[i], win_size=3)
        assert found[i] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(agreement.ssim(ours[:, :2], theirs[:, :2])).all()


maps_of_integers = st.lists(st.integers(-50, 50), min_size=9, max_size=9).map(
    lambda v: np.array(v, float).reshape(3, 3)
)


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@settings(deadline=None)
@given(maps_of_integers, maps_of_integers, st.integers(1, 8), st.integers(-9, 9))
def test_scale_and_shift(ours, theirs, scale, shift):
    for name in ("pearson", "spearman", "topk_iou", "cosine"):
        function = agreement.get_metric(name).function
        offset = 0 if name == "cosine" else shift
        same(function(scale * ours + offset, theirs), function(ours, theirs))
        same(function(ours, scale * theirs + offset), function(ours, theirs))
    for name in ("spearman", "topk_iou"):
        function = agreement.get_metric(name).function
        same(function(np.exp(ours / 10), theirs**3), function(ours, theirs))
    same(agreement.pearson(-ours, theirs), -agreement.pearson(ours, theirs))
    same(agreement.rmse(scale * ours + shift, scale * theirs + shift), scale * agreement.rmse(ours, theirs))
    same(agreement.ssim(scale * ours, scale * theirs), agreement.ssim(ours, theirs))


@settings(deadline=None)
@given(maps_of_integers, maps_of_integers, st.permutations(range(9)))
def test_order_of_positions_and_of_maps(ours, theirs, order):
    for name in ORACLES:
        function = agreement.get_metric(name).function
        if name != "ssim":
            shuffled = (values.ravel()[order].reshape(3, 3) for values in (ours, theirs))
            same(function(*shuffled), function(ours, theirs))
            same(function(theirs, ours), function(ours, theirs))
        same(function(ours[::-1], theirs[::-1]), function(ours, theirs))
        same(function(ours.T, theirs.T), function(ours, theirs))


@settings(deadline=None)
@given(maps_of_integers, maps_of_integers)
def test_range_and_direction_are_as_declared(ours, theirs):
    for name in ORACLES:
        metric = agreement.get_metric(name)
        score, perfect = metric.function(ours, theirs), metric.function(theirs, theirs)
        assert np.isnan(score) or metric.lowest - 1e-12 <= score <= metric.highest + 1e-12
        assert np.isnan(perfect) or perfect == pytest.approx(
            {"higher": metric.highest, "lower": metric.lowest}[metric.better]
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: agreement.pearson(a, a[:, :2]), r"maps: expected the same last 2 axes .* \(4, 4\) and \(4, 2\)"),
        (lambda a: agreement.rmse(a, a, n_axes=3), "maps: expected the same last 3 axes"),
        (lambda a: agreement.topk_iou(a, a, fraction=1.0), "fraction: expected a number above 0 and below 1, got 1.0"),
        (lambda a: agreement.topk_iou(a, a, fraction=0), "fraction: .* got 0"),
        (lambda a: agreement.ssim(a, a, window=4), "window: expected an odd whole number from 3 to 4, .* got 4"),
        (lambda a: agreement.ssim(a, a, window=5), "window: .* got 5"),
        (lambda a: agreement.ssim(a, a, data_range=0), "data_range: expected a positive range of values"),
        (lambda a: agreement.get_metric("pearsn"), r"metric 'pearsn': unknown; expected one of \['pearson', "),
        (
            lambda a: agreement.register_metric("x", lowest=0, highest=1, better="up"),
            "better: expected 'higher' or 'lower', got 'up'",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ParameterError, match=message):
        call(np.eye(4))


def test_a_metric_of_ones_own(monkeypatch):
    registry = agreement.get_metric.__globals__["_METRICS"]
    monkeypatch.setitem(registry, "largest", None)
    del registry["largest"]

    @agreement.register_metric("difference of maxima", lowest=0, highest=math.inf, better="lower", units="logit")
    def largest(maps, references, *, n_axes=2):
        return maps.max((-1, -2)) - references.max((-1, -2))

    assert agreement.metric_names()[-1] == "largest"
    assert agreement.get_metric("largest").function is largest
    assert agreement.get_metric("largest").attrs == {
        "units": "logit",
        "long_name": "difference of maxima",
        "range": [0, math.inf],
        "better": "lower",
    }
    taken = type(largest)(largest.__code__, {**largest.__globals__, "__name__": "elsewhere"}, "pearson")
    with pytest.raises(ParameterError, match="metric 'pearson': the name is taken"):
        agreement.register_metric("mine", lowest=0, highest=1, better="higher")(taken)
