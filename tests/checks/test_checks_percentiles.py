import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nengo_cam.checks.percentiles import RepeatedValues, TopValues, check_percentile
from nengo_cam.exceptions import ParameterError


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    percentile=st.floats(0, 100),
    n_parts=st.integers(1, 5),
)
def test_streamed_percentile_is_numpys(values, percentile, n_parts):
    top = TopValues(len(values), percentile)
    for part in np.array_split(np.array(values), n_parts):
        top.add(part)
    np.testing.assert_allclose(top.percentile(), np.percentile(values, percentile), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 4)),
    percentile=st.floats(0, 100),
    n_parts=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_channels_have_percentiles_of_their_own(shape, percentile, n_parts, seed):
    values = np.random.default_rng(seed).normal(size=shape) * np.arange(1, shape[-1] + 1)
    top = TopValues(shape[0] * shape[1], percentile, n_channels=shape[-1])
    for part in np.array_split(values, n_parts):
        top.add(part)
    np.testing.assert_allclose(top.percentile(), np.percentile(values, percentile, axis=(0, 1)), rtol=1e-9, atol=1e-9)


def test_only_the_top_is_kept():
    top = TopValues(10_000, 99.9, n_channels=2)
    values = np.random.default_rng(0).random((10_000, 2), dtype=np.float32)
    for part in np.split(values, 20):
        top.add(part)
        assert top._kept.shape == (2, 11)
        assert top._kept.base is None
    np.testing.assert_allclose(top.percentile(), np.percentile(values.astype(float), 99.9, axis=0))


def test_values_may_change_afterwards():
    top, values = TopValues(4, 50), np.arange(2.0)
    for _ in range(2):
        top.add(values)
        values += 2
    assert top.percentile() == np.percentile([0, 1, 2, 3], 50)


def test_all_values_together_give_a_number():
    top = TopValues(6, 50)
    top.add(np.arange(6).reshape(2, 3))
    assert isinstance(top.percentile(), float)
    assert top.percentile() == 2.5


@pytest.mark.parametrize("percentile", [0, -1, 101, np.nan, None, "99", True])
def test_wrong_percentiles(percentile):
    with pytest.raises(ParameterError, match="percentile: expected a number above 0 and at most 100"):
        check_percentile(percentile)


@pytest.mark.parametrize("percentile", [0.1, 50, 99.9, 100])
def test_right_percentiles(percentile):
    check_percentile(percentile)


@settings(deadline=None, max_examples=100)
@given(
    batches=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=20), min_size=1, max_size=5),
    percentile=st.floats(0, 100),
)
def test_statistics_of_repeated_values_equal_numpys(batches, percentile):
    repeated = RepeatedValues()
    for batch in batches:
        repeated.add(np.array(batch, float))
    everything = np.concatenate(batches)
    assert repeated.percentile(percentile) == pytest.approx(np.percentile(everything, percentile), abs=1e-9)
    assert repeated.mean() == pytest.approx(everything.mean())
    # Each different value once.
    assert len(repeated._values) == len(np.unique(everything))
