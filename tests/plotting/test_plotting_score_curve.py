import numpy as np
import pytest
import xarray as xr

import nengo_cam
from nengo_cam.exceptions import ParameterError, ResultError
from nengo_cam.plotting.score_curve import align_scores, check_scores, score_curve, score_limits, score_name, score_note
from nengo_cam.plotting.selection import select_scenes


def test_the_first_metric_is_the_default(scores):
    scores = scores.transpose("label", "time", "image").assign(bias=("label", np.zeros(4)))
    chosen = check_scores(scores[["bias", "pearson", "rmse"]])
    assert chosen.name == "pearson" and chosen.dims == ("image", "time", "label")
    np.testing.assert_array_equal(chosen, scores["pearson"].transpose("image", "time", "label"))
    assert check_scores(scores, "rmse").name == "rmse"
    assert check_scores(None) is None


def test_what_is_no_scores(scores):
    with pytest.raises(ResultError, match="scores: expected a Dataset .* got ndarray"):
        check_scores(scores["rmse"].values)
    with pytest.raises(ResultError, match=r"got dims {'time': 10, 'label': 4}\. .* keep a dim"):
        check_scores(scores.isel(image=0))
    with pytest.raises(ResultError, match=r"scores: dims without coordinates; .* got none for \['time'\]"):
        check_scores(scores.drop_vars("time"))
    with pytest.raises(ResultError, match="scores: empty; .* got sizes {'image': 0, 'time': 10, 'label': 4}"):
        check_scores(scores.isel(image=[]))
    with pytest.raises(ParameterError, match="metric: not in the scores; .* got 'ssim'"):
        check_scores(scores, "ssim")
    with pytest.raises(ParameterError, match="metric: nothing to choose from; .* got metric='rmse' alone"):
        check_scores(None, "rmse")


def test_scores_are_found_by_name_not_by_place(scores):
    shuffled = check_scores(scores.isel(image=[2, 0, 1], label=[3, 1, 0, 2]))
    found = align_scores(shuffled, [1, 2], ["fox", "cat"], scores["time"].values)
    np.testing.assert_array_equal(found, scores["pearson"].values[[1, 2]][:, :, [3, 0]])


def test_times_may_differ_by_rounding_only(scores):
    chosen, times = check_scores(scores), scores["time"].values
    align_scores(chosen, [0], ["cat"], times * (1 + 1e-9))
    with pytest.raises(ResultError, match=r"its times differ .* expected 10 up to 0.011 s, got 10 up to 0.01 s\."):
        align_scores(chosen, [0], ["cat"], times + 0.001)


def test_many_names_are_not_all_listed(scores):
    chosen = check_scores(xr.concat([scores.assign_coords(image=scores["image"] + 3 * i) for i in range(4)], "image"))
    with pytest.raises(ResultError, match=r"expected 12, got \[0, 1, 2, 3, 4, 5, 6, 7\] and 4 more"):
        align_scores(chosen, [3, 12], ["cat"], scores["time"].values)


def test_curve(spiking, rate, scores):
    (scene,) = select_scenes(spiking, rate, None, 2, "emu")
    curve = score_curve(check_scores(scores, "rmse"), scene)
    np.testing.assert_array_equal(curve.values, scores["rmse"].values[2, :, 2])
    assert curve.name == "rmse [logit]"


@pytest.mark.parametrize(
    ("name", "units", "expected"),
    [("ssim", "1", "SSIM"), ("topk_iou", None, "topk iou"), ("rmse", "logit", "rmse [logit]")],
)
def test_names(name, units, expected):
    assert score_name(xr.DataArray([0.0], name=name, attrs={} if units is None else {"units": units})) == expected


def test_notes_say_which_maps_were_scored(spiking, rate, scores):
    raw, averaged = nengo_cam.compare(spiking, rate), nengo_cam.compare(nengo_cam.cumulative(spiking), rate)
    assert score_note(check_scores(raw), "") == score_note(check_scores(averaged), "running mean") == ""
    assert score_note(check_scores(averaged), "") == "maps: running mean"
    assert score_note(check_scores(raw), "running mean") == "maps: single steps"
    # Of other scores nothing is known.
    assert score_note(check_scores(scores), "running mean") == ""
    assert "time_reduction" not in averaged["pearson"].attrs


@pytest.mark.parametrize(
    ("values", "span", "low", "high"),
    [
        ([0.2, 0.7], [-1, 1], 0, 1),
        ([-0.5, np.nan], [-1, 1], -0.5, 1),
        ([2, 5], [0, np.inf], 0, 5),
        ([0, 0], [0, np.inf], 0, 1),
        ([np.nan, np.nan], [-1, 1], 0, 1),
        ([-3, 8], None, -3, 8),
        ([np.inf, 8], None, 0, 8),
        ([-2, -1], [-np.inf, 0], -2, 0),
    ],
)
def test_limits_hold_zero_the_best_and_every_score(values, span, low, high):
    scores = xr.DataArray(np.array(values, float), attrs={} if span is None else {"range": span})
    margin = 0.03 * (high - low)
    np.testing.assert_allclose(score_limits(scores), (low - margin, high + margin))


def test_limits_of_nothing_but_zeros_are_apart():
    low, high = score_limits(xr.DataArray([0.0], attrs={"range": [-np.inf, 0.0]}))
    assert low < 0 < high
