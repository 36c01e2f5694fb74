import numpy as np
import pytest
import xarray as xr

from nengo_cam import plotting
from nengo_cam.exceptions import ParameterError
from nengo_cam.plotting.planes import check_plane, plane_name, plane_of_input, plane_of_maps


def test_the_strongest_value_keeps_its_sign(rng):
    maps = rng.normal(size=(2, 3, 4, 5))
    maps[0, 1, 2, 3] = np.nan
    found = plane_of_maps(maps, "strongest")
    for i in range(2):
        for y in range(4):
            for x in range(5):
                column = [value for value in maps[i, :, y, x] if not np.isnan(value)]
                assert found[i, y, x] == max(column, key=abs)
    np.testing.assert_array_equal(plane_of_maps(maps, 2), maps[:, 2])


def test_the_input_behind_a_plane(rng):
    films = rng.random((2, 8, 4, 5, 1))
    centers = np.array([0.5, 2.5, 6.4])
    np.testing.assert_allclose(plane_of_input(films, "strongest", centers), films.mean(1))
    np.testing.assert_array_equal(plane_of_input(films, 2, centers), films[:, 6])
    # Cells may be centered beyond the image.
    np.testing.assert_array_equal(plane_of_input(films, 0, np.array([-1.0])), films[:, 0])


def test_planes_are_named():
    assert (plane_name("strongest"), plane_name(3)) == ("strongest along z", "plane 3")
    assert [check_plane(plane, 4) for plane in ("strongest", 0, np.int64(3), -1)] == ["strongest", 0, 3, 3]
    assert check_plane("strongest", None) == "strongest"


@pytest.mark.parametrize("plane", [4, -5, "first", 1.5, None, [0]])
def test_planes_that_are_not_there(plane):
    with pytest.raises(
        ParameterError, match="plane: not a plane of the maps; expected 'strongest' or an int from 0 to 3"
    ):
        check_plane(plane, 4)
    with pytest.raises(ParameterError, match="plane: these maps have no planes; expected 'strongest', got"):
        check_plane(plane, None)


@pytest.fixture
def volumes(rng):
    """Maps of 3 x 4 x 4 cells over 6 x 8 x 8 pixels, with and without time, and their input."""
    centers = 2.0 * np.arange(4) + 0.5
    coords = {"image": [0, 1], "label": ["cat", "dog"], "z": centers[:3], "y": centers, "x": centers}
    rate = rng.normal(size=(2, 2, 3, 4, 4))
    spiking = rng.normal(size=(2, 5, 2, 3, 4, 4))
    dims = ("image", "label", "z", "y", "x")
    timed = ("image", "time", *dims[1:])
    attrs = {"input_shape": [6, 8, 8, 1], "dt": 0.001}
    return (
        xr.Dataset(
            {"cam": (timed, spiking), "logits": (timed[:3], spiking.mean((3, 4, 5)))},
            {**coords, "time": 0.001 * np.arange(1, 6)},
            attrs,
        ),
        xr.Dataset({"cam": (dims, rate), "logits": (dims[:2], rate.mean((2, 3, 4)))}, coords, attrs),
        rng.random((2, 6, 8, 8, 1)),
    )


@pytest.mark.parametrize("plane", ["strongest", 1])
def test_figures_draw_one_plane_and_say_which(volumes, plane):
    spiking, rate, images = volumes
    ours, theirs = plane_of_maps(spiking.cam[1, :, 1].values, plane), plane_of_maps(rate.cam[1, 1].values, plane)
    # The plane is centered on 2.5, and the nearest even slice is 2.
    behind = images[1, ..., 0].mean(0) if plane == "strongest" else images[1, 2, ..., 0]
    shown = (behind - behind.min()) / np.ptp(behind)
    name = plane_name(plane)
    drawn = plotting.timeline(spiking, rate, images, image=1, label="dog", times=[0.002], plane=plane)
    np.testing.assert_array_equal(drawn.maps[0].get_array(), ours[1])
    np.testing.assert_array_equal(drawn.maps[1].get_array(), theirs)
    np.testing.assert_allclose(drawn.image.get_array(), shown)
    assert drawn.figure.get_suptitle() == f"image 1, label dog (spiking; {name})"
    film = plotting.animate(spiking, rate, images, image=1, label="dog", plane=plane, progress_bar=False)
    film.draw(3)
    np.testing.assert_array_equal(film.panels[0].maps[0].get_array(), ours[3])
    assert film.panels[0].map_axes[0].get_title() == f"spiking\n{name}\nlabel dog, 4 ms"
    overlay = plotting.overlay(rate.cam[1, 1], images[1], plane=plane)
    np.testing.assert_array_equal(overlay.map.get_array(), theirs)
    assert overlay.axes.get_title() == f"label dog, {name}"
    compared = plotting.comparison(spiking, rate, images, image=1, label="dog", plane=plane)
    np.testing.assert_array_equal(compared.maps[0][-1].get_array(), ours[4] - theirs)
    assert compared.colorbar.ax.get_xlabel() == f"CAM [logit], {name}"


def test_pictures_have_no_planes(spiking, rate, images):
    with pytest.raises(ParameterError, match="plane: these maps have no planes; .* got 1"):
        plotting.timeline(spiking, plane=1)
    with pytest.raises(ParameterError, match="plane: these maps have no planes; .* got 0"):
        plotting.overlay(rate.cam[0, 0], plane=0)
