import numpy as np
import pytest

from nengo_cam.exceptions import ResultError
from nengo_cam.plotting.results import check_pair, check_rate, check_spiking


def test_good_results_pass(spiking, rate):
    check_spiking(spiking)
    check_spiking(spiking.transpose("x", "y", "label", "time", "image"))
    check_rate(rate)
    check_pair(spiking.isel(image=[2]), rate)


@pytest.mark.parametrize(("check", "fixture"), [(check_spiking, "spiking"), (check_rate, "rate")])
def test_missing_variable(check, fixture, request):
    result = request.getfixturevalue(fixture)
    with pytest.raises(ResultError, match=fixture + r": lacks the variables \['logits'\]; .* got \['cam'\]"):
        check(result.drop_vars("logits"))
    check(result.drop_vars("logits"), ["cam"])


def test_something_else_than_a_dataset(spiking):
    with pytest.raises(ResultError, match=r"expected an xarray.Dataset .* got DataArray"):
        check_spiking(spiking["cam"])


def test_swapped(spiking, rate):
    with pytest.raises(ResultError, match=r"spiking: no dim 'time'; .* Pass the result of spiking_cam first"):
        check_spiking(rate)
    with pytest.raises(ResultError, match=r"rate: has a dim 'time'; .* Pass the result of rate_cam"):
        check_rate(spiking)


def test_dims(spiking, rate):
    with pytest.raises(ResultError, match=r"spiking: 'cam' has the wrong dims; .* \.isel\(image=\[0\]\)"):
        check_spiking(spiking.isel(image=0))
    with pytest.raises(
        ResultError, match=r"rate: 'cam' has the wrong dims; .* or \('image', 'label', 'z', 'y', 'x'\), got"
    ):
        check_rate(rate.expand_dims(w=2))
    with pytest.raises(
        ResultError, match=r"rate: 'logits' has the wrong dims; expected \('image', 'label'\), got \('z'"
    ):
        check_rate(rate.expand_dims(z=2))
    with pytest.raises(ResultError, match=r"'cam' is empty; .*'image': 0"):
        check_spiking(spiking.isel(image=[]))


@pytest.mark.parametrize("name", ["time", "y", "x"])
def test_missing_coordinate(spiking, name):
    with pytest.raises(ResultError, match=f"spiking: no coordinate '{name}'"):
        check_spiking(spiking.drop_vars(name))


@pytest.mark.parametrize(
    ("dim", "values"),
    [("label", ["cat", "dog", "emu", "gnu"]), ("y", np.arange(4.0)), ("x", np.arange(4.0)), ("label", np.arange(4))],
)
def test_pair_differs(spiking, rate, dim, values):
    with pytest.raises(ResultError, match=f"rate: its '{dim}' differs .* from the same network"):
        check_pair(spiking, rate.assign_coords({dim: values}))


def test_pair_with_other_sizes(spiking, rate):
    with pytest.raises(ResultError, match="rate: its 'label' differs"):
        check_pair(spiking, rate.isel(label=[0, 1]))
    with pytest.raises(ResultError, match=r"rate: lacks images .* expected .*\[0, 1, 2\], got \[1\]"):
        check_pair(spiking, rate.isel(image=[1]))


@pytest.mark.parametrize(
    ("times", "units", "message"),
    [
        (np.arange(1, 11), "ms", r"in other units; expected numbers in seconds, got ms\. Assign"),
        (np.arange(1, 11).astype("timedelta64[ms]"), None, r"in other units; .* got dtype timedelta64"),
        (np.arange(10, 0, -1), "s", r"does not increase; .* got \[10, 9, 8"),
        ([1, 2, 3, 4, 5, 5, 6, 7, 8, 9], None, "does not increase; .* each larger than the last"),
        ([1, 2, 3, 4, 5, np.nan, 6, 7, 8, 9], "s", "does not increase; expected finite numbers"),
    ],
)
def test_time_that_would_be_drawn_wrong(spiking, times, units, message):
    spiking = spiking.assign_coords(time=np.asarray(times))
    if units is not None:
        spiking["time"].attrs["units"] = units
    with pytest.raises(ResultError, match=message):
        check_spiking(spiking)
