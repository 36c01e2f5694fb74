import numpy as np
import pytest

from nengo_cam.exceptions import ParameterError
from nengo_cam.plotting.scale import centered_colormap, check_scale, color_limits, extends


def films():
    """Two images, three steps, one cell: the peaks can be read off."""
    spiking = np.array([[9.0, -5, 2], [1, -8, -3]]).reshape(2, 3, 1, 1)
    rate = np.array([-4.0, 1]).reshape(2, 1, 1)
    return spiking, rate


@pytest.mark.parametrize(
    ("scale", "with_rate", "of_spiking", "of_rate"),
    [
        ("shared", True, [[4, 4, 4], [4, 4, 4]], [4, 4]),
        ("shared", False, [[3, 3, 3], [3, 3, 3]], [3, 3]),
        ("image", True, [[4, 4, 4], [1, 1, 1]], [4, 1]),
        ("image", False, [[2, 2, 2], [3, 3, 3]], [2, 3]),
        ("frame", True, [[9, 5, 2], [1, 8, 3]], [4, 1]),
        ("frame", False, [[9, 5, 2], [1, 8, 3]], [2, 3]),
    ],
)
def test_limits_by_hand(scale, with_rate, of_spiking, of_rate):
    spiking, rate = films()
    limits = color_limits(spiking, rate if with_rate else None, scale)
    np.testing.assert_array_equal(limits.spiking[..., 1], of_spiking)
    np.testing.assert_array_equal(limits.rate[..., 1], of_rate)
    np.testing.assert_array_equal(limits.spiking[..., 0], -limits.spiking[..., 1])
    np.testing.assert_array_equal(limits.rate[..., 0], -limits.rate[..., 1])


def test_given_limits_are_taken_for_every_map():
    limits = color_limits(*films(), scale=(-1, 3))
    assert limits.spiking.shape == (2, 3, 2)
    assert np.all(limits.spiking == [-1, 3]) and np.all(limits.rate == [-1, 3])


@pytest.mark.parametrize("scale", ["shared", "image", "frame"])
def test_zero_maps_get_the_limit_one(scale):
    limits = color_limits(np.zeros((2, 3, 4, 4)), np.zeros((2, 4, 4)), scale)
    assert np.all(limits.spiking == [-1, 1]) and np.all(limits.rate == [-1, 1])


@pytest.mark.parametrize("scale", ["shared", "image"])
def test_silent_settled_maps_leave_the_choice_to_earlier_steps(scale):
    spiking = np.array([0.0, -7, 0]).reshape(1, 3, 1, 1)
    assert np.all(color_limits(spiking, None, scale).spiking == [-7, 7])
    assert np.all(color_limits(spiking, np.zeros((1, 1, 1)), scale).rate == [-7, 7])


def test_values_that_are_not_finite_are_missing():
    spiking, rate = films()
    spiking[0, 0], rate[0] = np.nan, np.inf
    assert np.all(color_limits(spiking, rate, "shared").spiking == [-1, 1])
    assert color_limits(spiking, rate, "frame").spiking[0, 0].tolist() == [-1, 1]


@pytest.mark.parametrize(
    "scale", ["film", None, 3, (1, 2, 3), ("a", "b"), "ab"], ids=["name", "none", "number", "three", "words", "two"]
)
def test_unknown_scale(scale):
    with pytest.raises(ParameterError, match="expected 'shared', 'image', 'frame' or a pair"):
        check_scale(scale)


@pytest.mark.parametrize("scale", [(1, 1), (2, 1), (0, np.nan), (-np.inf, 1)])
def test_limits_that_are_no_range(scale):
    with pytest.raises(ParameterError, match="expected finite limits with vmin < vmax"):
        check_scale(scale)


@pytest.mark.parametrize(
    ("values", "expected"), [([-1, 1], "neither"), ([-2, 1], "min"), ([0, 2], "max"), ([-2, 2, np.nan], "both")]
)
def test_extends(values, expected):
    assert extends(np.array(values, dtype=float), -1, 1) == expected


@pytest.mark.parametrize("scale", ["shared", "frame"])
def test_limits_of_single_precision_maps_hold_them(rng, scale):
    maps = rng.normal(size=(1, 1, 5, 5)).astype(np.float32)
    assert extends(maps, *color_limits(maps, scale=scale).spiking[0, 0]) == "neither"


@pytest.mark.parametrize(("vmin", "vmax"), [(-1, 3), (-3, 1), (-2, 2), (1, 2), (-5, -1)])
def test_colors_mean_the_same_value_whatever_the_limits(vmin, vmax):
    full = centered_colormap("RdBu_r", -1, 1)
    cut = centered_colormap("RdBu_r", vmin, vmax)
    reach = max(abs(vmin), abs(vmax))
    values = np.linspace(vmin, vmax, 50)
    np.testing.assert_allclose(cut((values - vmin) / (vmax - vmin)), full(0.5 + 0.5 * values / reach), atol=0.03)


def test_unknown_colormap():
    with pytest.raises(ParameterError, match=r"cmap: unknown to matplotlib; .* got 'RdBlu'"):
        centered_colormap("RdBlu", -1, 1)


@pytest.mark.parametrize(
    ("scale", "of_spiking", "of_rate"),
    [
        ("shared", [[1, 1, 1], [1, 1, 1]], [1, 1]),
        ("image", [[9, 9, 9], [1, 1, 1]], [9, 1]),
        ("frame", [[9, 1, 2], [1, 1, 1]], [1, 1]),
    ],
)
def test_limits_of_heat_maps_are_those_of_the_positive_part(scale, of_spiking, of_rate):
    """Peaks of 9, 0, 2 and 1, 0, 0 by hand; the rate maps have 0 and 1. Nothing positive is 1, as all zero is."""
    limits = color_limits(*films(), scale, style="heatmap")
    np.testing.assert_array_equal(limits.spiking[..., 1], of_spiking)
    np.testing.assert_array_equal(limits.rate[..., 1], of_rate)
    assert np.all(limits.spiking[..., 0] == 0) and np.all(limits.rate[..., 0] == 0)


def test_given_limits_of_heat_maps_begin_at_zero():
    assert np.all(color_limits(*films(), (-2, 3), style="heatmap").spiking == [0, 3])
    assert np.all(color_limits(*films(), (1, 3), style="heatmap").rate == [1, 3])


@pytest.mark.parametrize("scale", ["shared", "image", "frame"])
def test_limits_of_signals_are_those_of_one_row(rng, scale):
    maps, rates = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5))
    for rate in (rates, rates[:, 0], None):
        rows = None if rate is None else rate[..., None, :]
        for ours, theirs in zip(color_limits(maps, rate, scale), color_limits(maps[:, :, None], rows, scale)):
            np.testing.assert_array_equal(ours, theirs)
