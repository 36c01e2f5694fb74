import nengo
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from nengo_cam import completeness_error, cumulative, smooth
from nengo_cam.exceptions import ParameterError, ResultError

DT = 0.002


@pytest.fixture
def dataset():
    """Maps, logits and bias that satisfy completeness, features and counts."""
    rng = np.random.default_rng(0)
    cam = xr.DataArray(rng.normal(size=(2, 7, 3, 4, 6)), dims=("image", "time", "label", "y", "x"))
    bias = xr.DataArray([0.5, -2.0, 0.0], dims="label")
    logits = (cam.mean(("y", "x")) + bias).astype("f4").assign_attrs(units="logit")
    count = (("image", "time", "layer"), rng.integers(0, 9, (2, 7, 2)), {"units": "spikes per step"})
    return xr.Dataset(
        {"cam": cam.astype("f4"), "logits": logits, "bias": bias, "spike_count": count},
        {"time": ("time", DT * np.arange(1, 8), {"units": "s"})},
        {"seed": 3, "dt": DT},
    )


SYNAPSES = [
    nengo.Lowpass(0.005),
    nengo.Alpha(0.003),
    nengo.synapses.LinearFilter([3.0], [0.004, 1]),
    nengo.synapses.Triangle(0.008),
]


def filtered(synapse, values):
    """Series by series, along the first axis; as columns, since Nengo 4.1 takes no plain series with NumPy 2.5."""
    columns = values.astype(float).reshape(len(values), -1, 1).swapaxes(0, 1)
    return np.stack([synapse.filt(column, dt=DT, y0=0) for column in columns], axis=1).reshape(values.shape)


@pytest.mark.parametrize("synapse", SYNAPSES, ids=str)
def test_smoothing_is_nengos(dataset, synapse):
    result = smooth(dataset, synapse)
    for i in range(2):
        expected = filtered(synapse, dataset.cam.values[i])
        np.testing.assert_allclose(result.cam.values[i], expected, rtol=1e-5, atol=1e-6)
        caused = (dataset.logits - dataset.bias).transpose(*dataset.logits.dims).values[i]
        expected = filtered(synapse, caused) + dataset.bias.values
        np.testing.assert_allclose(result.logits.values[i], expected, rtol=1e-5, atol=1e-6)
        expected = filtered(synapse, dataset.spike_count.values[i])
        np.testing.assert_allclose(result.spike_count.values[i], expected, rtol=1e-12)
    assert result.attrs == {**dataset.attrs, "time_reduction": f"smoothed by {synapse}"}


@pytest.mark.parametrize("tau", [0.0001, 0.0005, 0.005, 1.0])
def test_a_time_constant_is_nengos_lowpass(dataset, tau):
    exact = dataset.astype(float)
    found, expected = smooth(exact, tau), smooth(exact, nengo.Lowpass(tau))
    xr.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert found.attrs == expected.attrs
    np.testing.assert_allclose(found.cam[0], nengo.Lowpass(tau).filt(exact.cam.values[0], dt=DT, axis=0), atol=1e-12)


@pytest.mark.parametrize(
    "reduce",
    [cumulative, lambda ds: cumulative(ds, burn_in=3), lambda ds: smooth(ds, 0.005)]
    + [lambda ds, synapse=synapse: smooth(ds, synapse) for synapse in SYNAPSES],
)
def test_completeness_survives_and_form_stays(dataset, reduce):
    assert completeness_error(dataset) < 1e-6
    result = reduce(dataset)
    assert completeness_error(result) < 1e-6
    assert list(result) == list(dataset)
    xr.testing.assert_identical(result.time, dataset.time)
    xr.testing.assert_identical(result.bias, dataset.bias)
    for name in ("cam", "logits"):
        assert result[name].dims == dataset[name].dims
        assert result[name].dtype == dataset[name].dtype
        assert result[name].attrs == dataset[name].attrs
    assert result.spike_count.dtype == float
    assert "time_reduction" not in dataset.attrs


def test_the_bias_is_there_from_the_start(dataset):
    """A logit that is nothing but bias stays so, where filtering it would let it grow from 0."""
    silent = dataset.assign(cam=0 * dataset.cam, logits=0 * dataset.logits + dataset.bias)
    result = smooth(silent, 0.01)
    np.testing.assert_allclose(result.logits, np.broadcast_to(dataset.bias, (2, 7, 3)))


@settings(deadline=None, max_examples=20)
@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(0, 6))
def test_reductions_are_linear(a, b, burn_in):
    ours, theirs = (
        xr.Dataset(
            {"cam": (("time", "x"), np.random.default_rng(i).normal(size=(7, 3)))}, {"time": DT * np.arange(1, 8)}
        )
        for i in range(2)
    )
    for reduce in (lambda ds: cumulative(ds, burn_in=burn_in), lambda ds: smooth(ds, 0.004)):
        xr.testing.assert_allclose(reduce(a * ours + b * theirs), a * reduce(ours) + b * reduce(theirs), atol=1e-9)


@pytest.mark.parametrize("burn_in", [0, 1, 6])
def test_burn_in_is_nan_and_left_out(dataset, burn_in):
    result = cumulative(dataset, burn_in=burn_in)
    for t in range(7):
        for name in ("cam", "logits", "spike_count"):
            found = result[name].values[:, t]
            if t < burn_in:
                assert np.isnan(found).all()
            else:
                np.testing.assert_allclose(
                    found, dataset[name].values[:, burn_in : t + 1].mean(1), rtol=1e-5, atol=1e-6
                )
    expected = f"running mean without the first {burn_in} steps" if burn_in else "running mean"
    assert result.attrs["time_reduction"] == expected


def test_counts_are_averaged_not_cut_off(dataset):
    np.testing.assert_allclose(cumulative(dataset).spike_count[:, -1], dataset.spike_count.mean("time"))


REDUCTIONS = [cumulative, lambda ds: smooth(ds, 0.005), lambda ds: smooth(ds, nengo.Alpha(0.005))]


@pytest.mark.parametrize("reduce", REDUCTIONS, ids=["mean", "lowpass", "alpha"])
def test_time_alone_and_another_order_of_dims(dataset, reduce):
    expected = reduce(dataset)
    alone = dataset[["spike_count"]].isel(image=0, layer=0)
    xr.testing.assert_allclose(reduce(alone).spike_count, expected.spike_count.isel(image=0, layer=0))
    dims = ("x", "time", "label", "y", "image", "layer")
    xr.testing.assert_allclose(reduce(dataset.transpose(*dims)), expected.transpose(*dims))


@pytest.mark.parametrize("reduce", REDUCTIONS, ids=["mean", "lowpass", "alpha"])
def test_dask_arrays_stay_lazy(dataset, reduce):
    pytest.importorskip("dask")
    lazy = reduce(dataset.chunk(image=1, time=2))
    assert lazy.cam.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), reduce(dataset))


def test_the_step_comes_from_the_times(dataset):
    every_other = dataset.isel(time=slice(1, None, 2))
    expected = nengo.Lowpass(0.005).filt(every_other.cam.values[0].astype(float), dt=2 * DT, axis=0)
    np.testing.assert_allclose(smooth(every_other, 0.005).cam[0], expected, rtol=1e-5, atol=1e-6)
    single = dataset.isel(time=[3])
    np.testing.assert_allclose(smooth(single, 0.005).cam, single.cam * (1 - np.exp(-DT / 0.005)), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "synapse", "error", "message"),
    [
        (lambda ds: ds.isel(time=0), 0.01, ResultError, "spiking: expected a Dataset with a time dimension"),
        (lambda ds: ds.cam, 0.01, ResultError, "spiking: expected a Dataset with a time dimension, got dims"),
        (cumulative, 0.01, ResultError, "spiking: it is averaged over time already, or smoothed; .* 'running mean'"),
        (lambda ds: smooth(ds, 0.1), 0.01, ResultError, r"got 'smoothed by Lowpass\(tau=0.1\)'. Reduce it once"),
        (lambda ds: ds.isel(time=[0, 1, 3]), 0.01, ResultError, "its time steps are not even; .* 0.002 to 0.004 s"),
        (lambda ds: ds.isel(time=[1, 1, 1]), 0.01, ResultError, "its time steps are not even"),
        (lambda ds: ds.drop_vars("bias"), 0.01, ResultError, "spiking: it has logits but no bias"),
        (lambda ds: ds, 0, ParameterError, "synapse: expected a synapse of Nengo's or a positive time constant"),
        (lambda ds: ds, np.nan, ParameterError, "synapse: .* got nan"),
        (lambda ds: ds, None, ParameterError, "synapse: .* got None"),
        (lambda ds: ds, True, ParameterError, "synapse: .* got True"),
        (lambda ds: ds, nengo.Lowpass, ParameterError, "synapse: .* got <class"),
    ],
)
def test_errors_of_smooth(dataset, change, synapse, error, message):
    with pytest.raises(error, match=message):
        smooth(change(dataset), synapse)


@pytest.mark.parametrize("burn_in", [-1, 7, 2.0, True, None])
def test_errors_of_burn_in(dataset, burn_in):
    with pytest.raises(ParameterError, match="burn_in: expected a whole number of steps from 0 to 6"):
        cumulative(dataset, burn_in=burn_in)
