import numpy as np
import pytest
import xarray as xr
from scipy import stats

from nengo_cam import completeness_error, correlation, cumulative
from nengo_cam.exceptions import ResultError


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "cam": (
                ("image", "time", "label", "y", "x"),
                rng.normal(size=(2, 5, 3, 4, 6)).astype("f4"),
                {"units": "logit"},
            ),
            "logits": (("image", "time", "label"), rng.normal(size=(2, 5, 3)).astype("f4")),
            "bias": (("label",), rng.normal(size=3)),
        },
        {"time": ("time", np.arange(1, 6) * 1e-3, {"units": "s"})},
        {"seed": 3},
    )


def test_running_mean_against_a_slow_loop(dataset):
    result = cumulative(dataset)
    for t in range(5):
        np.testing.assert_allclose(result.cam[:, t], dataset.cam.values[:, : t + 1].mean(1), rtol=1e-5)
        np.testing.assert_allclose(result.logits[:, t], dataset.logits.values[:, : t + 1].mean(1), rtol=1e-5)
    xr.testing.assert_equal(result.bias, dataset.bias)


def test_running_mean_keeps_form_units_and_provenance(dataset):
    result = cumulative(dataset)
    assert result.cam.dims == dataset.cam.dims
    assert result.cam.dtype == dataset.cam.dtype
    assert result.cam.attrs == {"units": "logit"}
    assert result.time.attrs == {"units": "s"}
    assert result.attrs == {"seed": 3, "time_reduction": "running mean"}
    assert dataset.attrs == {"seed": 3}


def test_averaging_twice_is_refused(dataset):
    with pytest.raises(ResultError, match="averaged over time already"):
        cumulative(cumulative(dataset))


def test_running_mean_needs_time(dataset):
    with pytest.raises(ResultError, match="expected a Dataset with a time dimension"):
        cumulative(dataset.isel(time=0, drop=True))
    with pytest.raises(ResultError, match="got ndarray"):
        cumulative(np.zeros(3))


def test_correlation_is_scipys(dataset):
    rate = dataset.cam.isel(time=2, drop=True) + 0.3 * dataset.cam.isel(time=4, drop=True)
    result = correlation(dataset.cam, rate)
    assert set(result.dims) == {"image", "time", "label"}
    for i, t, k in np.ndindex(2, 5, 3):
        expected = stats.pearsonr(dataset.cam.values[i, t, k].ravel(), rate.values[i, k].ravel())[0]
        assert float(result.sel(time=dataset.time[t]).isel(image=i, label=k)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("error")
def test_constant_maps_have_no_correlation(dataset):
    result = correlation(dataset.cam * 0, dataset.cam)
    assert result.isnull().all()


def test_correlation_needs_positions(dataset):
    with pytest.raises(ResultError, match=r"others: expected a DataArray with dims \(..., 'y', 'x'\)"):
        correlation(dataset.cam, dataset.logits)


def test_completeness_error_of_known_differences(dataset):
    exact = dataset.assign(logits=dataset.cam.mean(("y", "x")) + dataset.bias)
    assert completeness_error(exact) < 1e-6
    off = exact.assign(logits=exact.logits.copy())
    off.logits[1, 2, 0] += 0.5
    assert completeness_error(off) == pytest.approx(0.5 / float(abs(off.logits).max()), rel=1e-5)
    assert completeness_error(exact * 0) == 0
    with pytest.raises(ResultError, match=r"got no \['bias'\]"):
        completeness_error(dataset.drop_vars("bias"))
