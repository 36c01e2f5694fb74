import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nengo_cam import compare, cumulative, decision_latency, explanation_latency, latency_summary
from nengo_cam.exceptions import LabelError, ParameterError, ResultError
from nengo_cam.scoring.latency import settling_time

DT = 0.002


def times(n_steps):
    return ("time", DT * np.arange(1, n_steps + 1), {"units": "s"})


def run(answers, labels=(0, 1, 2), bias=None, dtype="f4"):
    """Logits whose largest is that of the given answer at each step; of a pair of answers, both; of None, none."""
    logits = np.zeros((len(answers), len(answers[0]), len(labels)), dtype)
    for i, t in np.ndindex(logits.shape[:2]):
        if answers[i][t] is not None:
            logits[i, t, np.atleast_1d(answers[i][t])] = 1
    variables = {"logits": (("image", "time", "label"), logits + (0 if bias is None else np.array(bias, dtype)))}
    if bias is not None:
        variables["bias"] = ("label", np.array(bias, dtype))
    return xr.Dataset(variables, {"time": times(logits.shape[1]), "label": list(labels)})


def scores_of(values, better="higher", name="pearson", answers=None, labels=(0, 1)):
    """Scores of two labels: the values given, and ones that never agree."""
    values = np.array(values, float)
    worst = np.full_like(values, -1 if better == "higher" else 9)
    stacked = np.stack([values, worst], axis=-1)
    coords = {"time": times(values.shape[1]), "label": list(labels)}
    if answers is not None:
        coords["spiking_answer"] = ("image", np.array(labels)[answers])
    return xr.Dataset({name: (("image", "time", "label"), stacked, {"better": better})}, coords)


def without_attributes(scores):
    return xr.Dataset({name: (scores[name].dims, scores[name].values) for name in scores}, scores.coords)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_settling_time_is_that_of_a_loop(holds):
    expected = np.nan
    for t in reversed(range(len(holds))):
        if not holds[t]:
            break
        expected = DT * (t + 1)
    np.testing.assert_array_equal(settling_time([holds, holds], DT * np.arange(1, len(holds) + 1)), [expected] * 2)


def test_decisions_of_results_that_were_joined():
    parts = [run([answers], bias=[0.3, -0.2, 0.1]) for answers in ([1, 0, 2, 2], [None, 1, 1, 1])]
    # As older versions of xarray join by default: what has no images gets an axis of them.
    joined = xr.concat(parts, "image", data_vars="all")
    assert joined["bias"].dims == ("image", "label")
    expected = [float(decision_latency(part).latency[0]) for part in parts]
    np.testing.assert_array_equal(decision_latency(joined).latency, expected)
    np.testing.assert_allclose(expected, [3 * DT, 2 * DT])


def test_decisions_with_known_answers():
    spiking = run([[1, 1, 1, 1], [0, 2, 2, 2], [2, 1, 2, 1], [2, 2, 0, 2], [(0, 1), 0, 0, 0]])
    result = decision_latency(spiking)
    np.testing.assert_allclose(result.latency, [1 * DT, 2 * DT, 4 * DT, 4 * DT, 2 * DT])
    assert result.settled.all()
    assert result.answer.values.tolist() == [1, 2, 1, 2, 0]
    assert result.latency.attrs["units"] == "s"
    assert result.attrs == {"criterion": "the answer stays the same", "duration": 4 * DT}


def test_decisions_that_stay_right():
    spiking = run([[1, 1, 1, 1], [0, 2, 2, 2], [2, 1, 2, 1], [2, 2, 0, 2]])
    result = decision_latency(spiking, classes=[1, 0, 1, 2])
    np.testing.assert_allclose(result.latency, [DT, np.nan, 4 * DT, 4 * DT])
    assert result.settled.values.tolist() == [True, False, True, True]
    assert result.attrs["criterion"] == "the answer stays right"


def test_a_tie_decides_nothing():
    """An index of the largest would give label 0 to blank logits, and the answer 0 from the first step on."""
    spiking = run([[None, None, 0, 0], [0, (0, 2), 0, 0], [0, 0, 0, (0, 1)], [None] * 4])
    result = decision_latency(spiking)
    np.testing.assert_allclose(result.latency, [3 * DT, 3 * DT, np.nan, np.nan])
    assert result.settled.values.tolist() == [True, True, False, False]
    rounded = run([[1, 1, (0, 1)]])
    rounded.logits[0, 2, 0] *= 1 + 1e-7
    assert not decision_latency(rounded).settled.any()


def test_the_bias_alone_decides_nothing():
    """Label 2 has the largest bias, and the largest logit before anything has spiked."""
    bias = [0.0, 0.1, 0.3]
    spiking = run([[None, None, 2, 2], [2, 2, 2, 2], [None, 1, None, 2], [None] * 4], bias=bias)
    np.testing.assert_allclose(decision_latency(spiking).latency, [3 * DT, DT, 4 * DT, np.nan])
    np.testing.assert_allclose(decision_latency(spiking.drop_vars("bias")).latency, [DT, DT, 3 * DT, DT])
    mean = cumulative(run([[None, None, None, 2]], bias=bias))
    np.testing.assert_allclose(decision_latency(mean).latency, 4 * DT)


def test_burn_in_decides_nothing():
    spiking = cumulative(run([[1, 1, 0, 0], [0, 0, 0, 0]]), burn_in=2)
    np.testing.assert_allclose(decision_latency(spiking).latency, [3 * DT, 3 * DT])


def test_labels_are_matched_by_value_and_dims_by_name():
    spiking = run([[1, 2], [2, 2]], labels=("cat", "dog", "cow"))
    result = decision_latency(spiking.transpose("label", "time", "image"), classes=["cow", "dog"])
    np.testing.assert_allclose(result.latency, [2 * DT, np.nan])
    assert result.answer.values.tolist() == ["cow", "cow"]
    some = spiking.isel(label=[2, 0]).assign_coords(label=[7, 3])
    np.testing.assert_allclose(decision_latency(some, classes=[7, 7]).latency, [2 * DT, DT])


def test_explanations_with_known_answers():
    nan = np.nan
    values = [[0.1, 0.95, 0.9, 1.0], [nan, nan, 0.5, 0.9], [0.9, 0.9, 0.9, 0.89], [1, 1, 1, nan], [1, nan, 1, 1]]
    result = explanation_latency(scores_of(values, answers=[0] * 5), "pearson", 0.9)
    np.testing.assert_allclose(result.latency, [2 * DT, 4 * DT, nan, nan, 3 * DT])
    assert result.settled.values.tolist() == [True, True, False, False, True]
    assert result.attrs == {"criterion": "pearson >= 0.9", "duration": 4 * DT}


def test_less_is_better_for_a_distance():
    values = [[3, 0.5, 0.2, 0.5], [0.1, 0.1, 0.1, 0.6], [np.nan, 0.1, 0.1, 0.1]]
    scores = scores_of(values, "lower", "rmse", answers=[0, 0, 0])
    result = explanation_latency(scores, "rmse", 0.5)
    np.testing.assert_allclose(result.latency, [2 * DT, np.nan, 2 * DT])
    assert result.attrs["criterion"] == "rmse <= 0.5"
    # The registry knows it too, if arithmetic has dropped the attributes.
    xr.testing.assert_identical(explanation_latency(without_attributes(scores), "rmse", 0.5), result)
    own = scores.rename(rmse="own")
    np.testing.assert_allclose(explanation_latency(own, "own", 0.5).latency, result.latency)


def test_which_label_is_explained():
    values = [[0.1, 1.0], [1.0, 1.0]]
    scores = scores_of(values, answers=[0, 1], labels=("cat", "dog"))
    np.testing.assert_allclose(explanation_latency(scores).latency, [2 * DT, np.nan])
    np.testing.assert_allclose(explanation_latency(scores, label="cat").latency, [2 * DT, DT])
    each = xr.DataArray(["dog", "cat"], dims="image")
    found = explanation_latency(scores, label=each)
    np.testing.assert_allclose(found.latency, [np.nan, DT])
    assert found.label.values.tolist() == ["dog", "cat"]
    everyone = explanation_latency(scores, label=scores.label)
    assert everyone.latency.dims == ("image", "label")
    np.testing.assert_allclose(everyone.latency, [[2 * DT, np.nan], [DT, np.nan]])


def test_from_maps_to_the_summary():
    """A map that is right from step 2 on; an answer that is right from step 3 on."""
    rate_map = np.arange(6.0).reshape(2, 3)
    cam = np.zeros((1, 4, 2, 2, 3))
    cam[:, 1:, 0] = 2 * rate_map
    cam[:, 1, 1] = 9 * rate_map
    dims = ("image", "time", "label", "y", "x")
    spiking = xr.Dataset({"cam": (dims, cam), "logits": (dims[:3], cam.mean((3, 4)))}, {"time": times(4)})
    rate = xr.Dataset({"cam": (("image", "label", "y", "x"), np.stack([rate_map, -rate_map])[None])})
    rate["logits"] = rate.cam.mean(("y", "x"))
    scores = compare(spiking, rate)
    decision, explanation = decision_latency(spiking), explanation_latency(scores, "pearson", 0.99)
    np.testing.assert_allclose([*decision.latency, *explanation.latency], [3 * DT, 2 * DT])
    assert float(latency_summary(decision, explanation).order.sel(first="explanation")) == 1


def latencies(values):
    values = np.array(values, float)
    return xr.Dataset({"latency": ("image", values)}, attrs={"criterion": "known", "duration": 1.0})


def test_summary_of_known_latencies():
    nan = np.nan
    summary = latency_summary(latencies([1, 2, 3, 4, nan, nan, 5]), latencies([1, 1, 4, nan, 2, nan, 3]))
    order = {name: float(summary.order.sel(first=name)) * 7 for name in summary["first"].values.tolist()}
    assert order == pytest.approx({"explanation": 3, "same": 1, "decision": 2, "neither": 1})
    np.testing.assert_allclose(summary.never, [2 / 7, 2 / 7])
    # In order 1 2 3 4 5 never never, and 1 1 2 3 4 never never: the upper quartile lies between 5 and never.
    np.testing.assert_allclose(summary.latency, [[2.5, 4, nan], [1.5, 3, nan]])
    assert int(summary.n_settled) == 4
    assert float(summary.correlation) == pytest.approx(stats.spearmanr([1, 2, 3, 5], [1, 1, 4, 3])[0])
    assert summary.attrs == {"decision": "known", "explanation": "known", "n_images": 7}


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=15))
def test_summary_of_settled_images_is_numpys(pairs):
    decides, explains = np.array(pairs, float).T
    summary = latency_summary(latencies(decides), latencies(explains))
    expected = [np.quantile(values, [0.25, 0.5, 0.75]) for values in (decides, explains)]
    np.testing.assert_allclose(summary.latency, expected)
    assert float(summary.order.sel(first="explanation")) == pytest.approx(np.mean(explains < decides))
    assert float(summary.order.sum()) == pytest.approx(1)
    if len(set(decides)) > 1 and len(set(explains)) > 1:
        assert float(summary.correlation) == pytest.approx(stats.spearmanr(decides, explains)[0])
    else:
        assert np.isnan(summary.correlation)


def test_none_settles():
    summary = latency_summary(latencies([np.nan] * 2), latencies([np.nan] * 2))
    assert summary.latency.isnull().all()
    assert (summary.never == 1).all()
    assert float(summary.order.sel(first="neither")) == 1
    assert np.isnan(summary.correlation)


def test_a_round_trip_through_netcdf(tmp_path):
    decision = decision_latency(run([[1, 1], [None, None]]))
    explanation = explanation_latency(scores_of([[1, 1], [0, 1]], answers=[0, 0]))
    for i, result in enumerate((decision, explanation, latency_summary(decision, explanation))):
        result.to_netcdf(tmp_path / f"{i}.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / f"{i}.nc", engine="h5netcdf") as loaded:
            xr.testing.assert_identical(loaded.load(), result)


@pytest.mark.parametrize(
    ("change", "classes", "error", "message"),
    [
        (lambda ds: ds.logits, None, ResultError, "spiking: expected a Dataset with the variable 'logits', got dims"),
        (lambda ds: ds.drop_vars("logits"), None, ResultError, "spiking: expected a Dataset with the variable"),
        (lambda ds: ds.isel(time=0), None, ResultError, "spiking: 'logits' has the wrong dims, or is empty"),
        (lambda ds: ds.isel(image=[]), None, ResultError, "spiking: 'logits' has the wrong dims, or is empty"),
        (lambda ds: ds, [0], LabelError, r"classes: expected one label for each of 2 images, got shape \(1,\)"),
        (lambda ds: ds, np.eye(2), LabelError, r"classes: .* got shape \(2, 2\)"),
        (lambda ds: ds, [0, 3], LabelError, r"classes: 3 is not a label of the Dataset; expected some of \[0, 1, 2\]"),
        (lambda ds: ds, ["0", 1], LabelError, "classes: '0' is not a label"),
    ],
)
def test_errors_of_decisions(change, classes, error, message):
    with pytest.raises(error, match=message):
        decision_latency(change(run([[1, 1], [0, 1]])), classes=classes)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda ds: ds, {"metric": "ssim"}, ResultError, r"scores: expected .* 'ssim', got \['pearson'\]"),
        (lambda ds: ds.pearson, {}, ResultError, "scores: expected a Dataset with the score 'pearson', got DataArray"),
        (lambda ds: ds.isel(time=0), {}, ResultError, "scores: 'pearson' has the wrong dims"),
        (lambda ds: ds.drop_vars("spiking_answer"), {}, ResultError, "scores: the answers are not known"),
        (lambda ds: ds, {"threshold": "high"}, ParameterError, "threshold: expected a number, got 'high'"),
        (lambda ds: ds, {"threshold": np.nan}, ParameterError, "threshold: expected a number, got nan"),
        (lambda ds: ds, {"label": 5}, LabelError, r"label: not in the scores; .* \[0, 1\], .* got \[5\]"),
        (lambda ds: ds, {"label": xr.DataArray([0], dims="a")}, LabelError, r"label: not in .* got \('a',\)"),
        (
            lambda ds: without_attributes(ds).rename(pearson="own"),
            {"metric": "own"},
            ParameterError,
            "metric 'own': unknown",
        ),
    ],
)
def test_errors_of_explanations(change, options, error, message):
    with pytest.raises(error, match=message):
        explanation_latency(change(scores_of([[1, 1]], answers=[0])), **options)


@pytest.mark.parametrize(
    ("decision", "explanation", "message"),
    [
        (latencies([1]).latency, latencies([1]), "decision: expected a Dataset with latency over"),
        (latencies([1]), latencies([1]).expand_dims(label=2), "explanation: expected a Dataset with latency over"),
        (latencies([1, 2]), latencies([1]), "explanation: its images differ from those of decision"),
        (latencies([]), latencies([]), "explanation: its images differ"),
    ],
)
def test_errors_of_summaries(decision, explanation, message):
    with pytest.raises(ResultError, match=message):
        latency_summary(decision, explanation)


def test_latency_of_a_change_counts_from_the_change():
    """Four steps of one image, then four of another: at once, after three steps, never, and right by chance before."""
    spiking = run([[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 2, 1, 1], [0] * 8, [0, 0, 1, 1, 1, 1, 1, 1]])
    since = 4 * DT
    result = decision_latency(spiking, classes=[1] * 4, since=since)
    np.testing.assert_allclose(result.latency, [DT, 3 * DT, np.nan, DT])
    assert result.attrs["duration"] == pytest.approx(4 * DT)
    # The same as of a run that begins there, whatever rounding does to its times.
    late = spiking.isel(time=slice(4, None)).assign_coords(time=times(4))
    xr.testing.assert_allclose(result, decision_latency(late, classes=[1] * 4))
    rounded = spiking.assign_coords(time=spiking.time.astype("f4"))
    np.testing.assert_allclose(
        decision_latency(rounded, classes=[1] * 4, since=since).latency, result.latency, rtol=1e-5
    )
    scores = scores_of([[1, 1, 1, 1, 0, 0, 1, 1], [1] * 8], answers=[0, 0])
    explained = explanation_latency(scores, since=since)
    np.testing.assert_allclose(explained.latency, [3 * DT, DT])
    assert explained.attrs["duration"] == pytest.approx(4 * DT)


@pytest.mark.parametrize("since", [-DT, 8 * DT, 1.0, np.nan, "change", True])
def test_a_change_lies_within_the_run(since):
    spiking = run([[0, 0, 0, 0, 1, 1, 1, 1]])
    for latency in (
        lambda: decision_latency(spiking, since=since),
        lambda: explanation_latency(scores_of([[1] * 8], answers=[0]), since=since),
    ):
        with pytest.raises(
            ParameterError, match=r"since: expected seconds from 0 to before the last step at 0\.016, got"
        ):
            latency()
