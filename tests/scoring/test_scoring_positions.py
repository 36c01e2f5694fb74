import numpy as np
import pytest
import xarray as xr

from nengo_cam.exceptions import ResultError
from nengo_cam.scoring.positions import check_positions, describe, positions


@pytest.mark.parametrize(
    ("dims", "found"),
    [
        (("image", "label", "x"), ["x"]),
        (("x", "image", "y"), ["y", "x"]),
        (("y", "x", "time", "z"), ["z", "y", "x"]),
        (("image", "label"), []),
    ],
)
def test_positions_from_the_slowest_to_the_fastest(dims, found):
    assert positions(xr.DataArray(np.zeros([2] * len(dims)), dims=dims)) == found


def test_arrays_without_positions_are_refused_under_their_name():
    maps = xr.DataArray(np.zeros((2, 3, 4)), dims=("image", "y", "x"))
    assert check_positions("maps", maps) == ["y", "x"]
    with pytest.raises(ResultError, match=r"^others: expected .* got dims \('image', 'y'\)\. Pass dataset\.cam"):
        check_positions("others", maps.isel(x=0))
    with pytest.raises(ResultError, match=r"^maps: expected a DataArray .* got ndarray"):
        check_positions("maps", maps.values)


def test_a_dataset_is_no_map():
    result = xr.Dataset({"cam": (("image", "y", "x"), np.zeros((2, 3, 4)))})
    # It has the dims, but which of its variables is the map?
    with pytest.raises(ResultError, match=r"got .*dims.*Pass dataset\.cam"):
        check_positions("maps", result)
    assert describe([1]) == "list"
