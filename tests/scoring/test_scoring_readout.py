import numpy as np
import pytest
import xarray as xr

from nengo_cam import compare, completeness_error, cumulative, decision_latency, explanation_latency, smooth
from nengo_cam.exceptions import ResultError
from nengo_cam.scoring.readout import holds_level, reduction_of, spike_kind_of

N_STEPS = 9


def build(rng, with_time):
    """Complete maps: their means and the bias are the logits."""
    dims = ("image", "time", "label", "y", "x") if with_time else ("image", "label", "y", "x")
    sizes = {"image": 3, "time": N_STEPS, "label": 4, "y": 3, "x": 5}
    cam = rng.normal(size=[sizes[dim] for dim in dims])
    bias = np.array([0.5, -1.0, 0.0, 2.0])
    coords = {"image": range(3), "label": list("abcd"), "y": np.arange(3.0), "x": np.arange(5.0)}
    if with_time:
        coords["time"] = 0.001 * np.arange(1, N_STEPS + 1)
    return xr.Dataset(
        {"cam": (dims, cam), "logits": (dims[:-2], cam.mean(axis=(-2, -1)) + bias), "bias": ("label", bias)}, coords
    )


def bare(result):
    """The same, without attributes of its own."""
    result = result.copy()
    result.attrs = {}
    return result


@pytest.fixture
def rate():
    return build(np.random.default_rng(1), with_time=False)


@pytest.fixture
def level(rate):
    """Maps that come near to those of the CNN in three steps and then stay, with counts of spikes."""
    first = build(np.random.default_rng(2), with_time=True)
    share = xr.DataArray([0.0, 0.5, *[1.0] * (N_STEPS - 2)], dims="time")
    mixed = (share * rate + (1 - share) * first).assign(bias=rate.bias)
    counts = np.random.default_rng(3).integers(0, 9, (3, N_STEPS, 2))
    mixed = mixed.transpose("image", "time", "label", "y", "x").assign(spike_count=(("image", "time", "layer"), counts))
    return mixed.assign_attrs(readout="level", spike_kind="graded", dt=0.001)


def test_a_level_is_given_back_as_it_is(level):
    result = cumulative(level)
    xr.testing.assert_identical(bare(result), bare(level))
    assert result.attrs == {**level.attrs, "time_reduction": "level at each step"}
    assert {name: values.dtype for name, values in result.items()} == {n: v.dtype for n, v in level.items()}
    # Nothing has happened to it, so that it may be read again.
    xr.testing.assert_identical(cumulative(result), result)


@pytest.mark.parametrize("readout", ["mean", None])
def test_unit_spikes_are_averaged_as_ever(level, readout):
    unit = level.assign_attrs(readout=readout)
    if readout is None:
        del unit.attrs["readout"]
    expected = np.cumsum(level.cam.values, axis=1) / np.arange(1, N_STEPS + 1)[:, None, None, None]
    np.testing.assert_allclose(cumulative(unit).cam, expected, rtol=1e-10, atol=1e-12)
    assert cumulative(unit).attrs["time_reduction"] == "running mean"
    with pytest.raises(ResultError, match="it is averaged over time already"):
        cumulative(cumulative(unit))


def test_a_burn_in_of_a_level_is_missing_and_nothing_else_changes(level):
    result = cumulative(level, burn_in=2)
    assert result.attrs["time_reduction"] == "level at each step without the first 2 steps"
    for name in ("cam", "logits", "spike_count"):
        assert result[name].dims == level[name].dims
        assert np.isnan(result[name].isel(time=slice(2))).all()
        np.testing.assert_array_equal(result[name].isel(time=slice(2, None)), level[name].isel(time=slice(2, None)))
    xr.testing.assert_identical(result.bias, level.bias)
    assert completeness_error(result) < 1e-12
    # As for a mean, what is left out decides nothing.
    assert (decision_latency(result).latency >= 0.003 - 1e-9).all()


def test_a_level_is_smoothed_once(level):
    smoothed = smooth(level, 0.003)
    expected = smooth(level.assign_attrs(readout="mean"), 0.003)
    xr.testing.assert_identical(bare(smoothed), bare(expected))
    xr.testing.assert_identical(smooth(cumulative(level), 0.003), smoothed)
    for again in (cumulative, lambda result: smooth(result, 0.003)):
        with pytest.raises(ResultError, match=r"or smoothed; .* got 'smoothed by Lowpass\(tau=0.003\)'"):
            again(smoothed)


def test_latencies_of_a_level_are_those_of_its_steps(level, rate):
    scores = compare(cumulative(level), rate, metrics="pearson")
    np.testing.assert_array_equal(scores.pearson, compare(level, rate, metrics="pearson").pearson)
    # From the third step on the maps are those of the CNN, whatever the first ones were.
    np.testing.assert_allclose(scores.pearson.isel(time=slice(2, None)), 1)
    explained = explanation_latency(scores, threshold=0.9999).latency
    np.testing.assert_allclose(explained, 0.003)
    averaged = compare(cumulative(level.assign_attrs(readout="mean")), rate, metrics="pearson")
    assert np.isnan(explanation_latency(averaged, threshold=0.9999).latency).all()
    answers = level.logits.values.argmax(axis=-1)
    for image, of_image in enumerate(answers):
        settled = max([0, *(step + 1 for step in range(N_STEPS) if of_image[step] != of_image[-1])])
        found = float(decision_latency(cumulative(level)).latency[image])
        assert found == pytest.approx(0.001 * (settled + 1))
    assert scores.attrs["readout"] == "level" and scores.attrs["spike_kind"] == "graded"


@pytest.mark.parametrize(
    ("attrs", "held", "reduction"),
    [
        ({}, False, ""),
        ({"readout": "mean"}, False, ""),
        ({"time_reduction": "running mean"}, False, "running mean"),
        ({"readout": "level"}, True, ""),
        ({"readout": "level", "time_reduction": "level at each step"}, True, ""),
        ({"readout": "level", "time_reduction": "level at each step without the first 2 steps"}, True, ""),
        ({"readout": "level", "time_reduction": "none, each step by itself"}, True, ""),
        ({"readout": "level", "time_reduction": "smoothed by Lowpass(0.01)"}, True, "smoothed by Lowpass(0.01)"),
        # Whatever unit spikes are called, they were reduced.
        ({"readout": "mean", "time_reduction": "none at all"}, False, "none at all"),
    ],
)
def test_readouts(level, attrs, held, reduction):
    result = bare(level).assign_attrs(attrs)
    for of in (result, result.cam.assign_attrs(attrs)):
        assert (holds_level(of), reduction_of(of), spike_kind_of(of)) == (held, reduction, "")


def test_a_readout_that_is_not_known(level):
    odd = level.assign_attrs(readout="median")
    for read in (holds_level, reduction_of, cumulative, lambda result: smooth(result, 0.01)):
        with pytest.raises(ResultError, match=r"expected 'mean' or 'level' in its attrs, got 'median'"):
            read(odd)
