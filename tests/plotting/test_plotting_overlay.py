import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import nengo_cam.plotting
from nengo_cam.exceptions import ImageError, ParameterError, ResultError
from nengo_cam.plotting import overlay


def test_pyplot_is_left_alone():
    code = "import sys, nengo_cam.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def cam(spiking):
    return spiking["cam"].isel(image=0, time=4, label=1)


def test_exported_names():
    assert nengo_cam.plotting.__all__ == [
        "Agreement",
        "CAMAnimation",
        "Comparison",
        "Latency",
        "Localization",
        "Overlay",
        "Raster",
        "Timeline",
        "Tradeoff",
        "agreement",
        "animate",
        "check_film",
        "comparison",
        "latency",
        "localization",
        "overlay",
        "raster",
        "timeline",
        "tradeoff",
    ]
    assert all(hasattr(nengo_cam.plotting, name) for name in nengo_cam.plotting.__all__)


def test_artists(cam, images):
    drawn = overlay(cam, images[0])
    np.testing.assert_array_equal(drawn.map.get_array(), cam.values)
    peak = np.abs(cam.values).max()
    assert drawn.map.get_clim() == (-peak, peak)
    assert tuple(drawn.map.get_extent()) == tuple(drawn.image.get_extent()) == (-0.5, 7.5, 7.5, -0.5)
    assert (drawn.axes.get_xlim(), drawn.axes.get_ylim()) == ((-0.5, 7.5), (7.5, -0.5))
    low, high = images[0].min(), images[0].max()
    np.testing.assert_allclose(drawn.image.get_array(), (images[0, ..., 0] - low) / (high - low))
    assert drawn.axes.get_title() == "label dog, 5 ms"
    assert drawn.colorbar.ax.get_ylabel() == "CAM [logit]"
    assert drawn.colorbar.extend == "neither"


def test_order_of_dims_does_not_matter(cam):
    np.testing.assert_array_equal(overlay(cam.transpose("x", "y")).map.get_array(), cam.values)


def test_colors_on_the_canvas_are_those_of_the_colorbar(cam):
    """Zero and the extremes on a medium gray look on the image as on the bar."""
    cam = cam.copy(data=np.zeros((4, 4)))
    cam[0, 0], cam[3, 3] = 2, -2
    picture = np.full((8, 8), 0.5)
    picture[4, 0], picture[4, 7] = 0, 1
    # Smooth, only the very middle of a cell has its color.
    drawn = overlay(cam, picture, interpolation="nearest")
    canvas = drawn.axes.figure.canvas
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(float)
    for y, x, value in [(0.5, 0.5, 2), (6.5, 6.5, -2), (2.5, 2.5, 0)]:
        column, row = drawn.axes.transData.transform((x, y)).astype(int)
        expected = 255 * np.array(drawn.colorbar.cmap(drawn.colorbar.norm(value))[:3])
        np.testing.assert_allclose(pixels[pixels.shape[0] - 1 - row, column], expected, atol=3)


def test_without_image_the_map_is_opaque(cam):
    drawn = overlay(cam, colorbar=False, title="mine")
    assert drawn.image is None and drawn.colorbar is None
    assert drawn.map.get_alpha() == 1
    assert drawn.axes.get_title() == "mine"


def test_draws_on_given_axes_in_given_limits(cam, images):
    ax = Figure().subplots()
    drawn = overlay(cam, images[0], ax=ax, scale=(-0.1, 0.3), alpha=0.5)
    assert drawn.axes is ax
    assert drawn.map.get_clim() == (-0.1, 0.3)
    assert drawn.map.get_alpha() == 0.5
    assert drawn.colorbar.extend == "both"


def test_zero_map_draws_as_zero(cam):
    drawn = overlay(cam * 0)
    drawn.axes.figure.canvas.draw()
    assert drawn.map.get_clim() == (-1, 1)
    assert np.all(drawn.map.get_array() == 0)


def test_missing_cells_stay_empty(cam):
    cam = cam.copy(deep=True)
    cam[0, 0] = np.nan
    drawn = overlay(cam)
    drawn.axes.figure.canvas.draw()
    assert drawn.map.get_clim()[1] == np.nanmax(np.abs(cam.values))
    assert drawn.map.get_array().mask.sum() == 1


def test_units_come_from_the_map(cam):
    cam.attrs["units"] = "nat"
    assert overlay(cam).colorbar.ax.get_ylabel() == "CAM [nat]"


def test_too_many_dims(spiking):
    with pytest.raises(ResultError, match=r"got \('image', 'time', .* \.isel\(image=0, time=0, label=0\) or \.sel"):
        overlay(spiking["cam"])
    with pytest.raises(ResultError, match=r"got \('y',\). Keep the dims of a whole map"):
        overlay(spiking["cam"][0, 0, 0, :, 0])


def test_not_a_labelled_map(cam):
    with pytest.raises(ResultError, match=r"expected an xarray.DataArray over y and x, got ndarray"):
        overlay(cam.values)
    with pytest.raises(ResultError, match=r"without \['y'\]"):
        overlay(cam.drop_vars("y"))


def test_wrong_image(cam, images):
    with pytest.raises(ImageError, match="do not fit the map"):
        overlay(cam, images[0, :4])
    with pytest.raises(ImageError, match="wrong shape"):
        overlay(cam, images[0, 0, :, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "shared"}, "scale: not a known choice; expected 'frame' or a pair"),
        ({"alpha": 1.5}, "alpha: not an opacity; .* got 1.5"),
        ({"alpha": "x"}, "alpha: not an opacity; .* got 'x'"),
        ({"cmap": "nope"}, "cmap: unknown"),
    ],
)
def test_wrong_parameters_leave_the_axes_empty(cam, arguments, message):
    ax = Figure().subplots()
    with pytest.raises(ParameterError, match=message):
        overlay(cam, ax=ax, **arguments)
    assert not ax.images


def test_the_figure_is_an_attribute_and_not_a_fifth_artist(cam):
    drawn = overlay(cam)
    assert drawn.figure is drawn.axes.figure
    axes, image, artist, bar = drawn
    assert (axes, image, artist, bar) == (drawn.axes, None, drawn.map, drawn.colorbar)
    assert drawn._repr_png_()[:4] == b"\x89PNG"


def test_a_map_that_counts_cells_is_not_put_on_an_image(cam):
    counted = cam.assign_coords(x=np.arange(4.0), y=np.arange(4.0))
    for dim in ("x", "y"):
        counted[dim].attrs["units"] = "cell"
    with pytest.raises(ImageError, match="place in the image is not known; expected coordinates in pixels"):
        overlay(counted, np.zeros((8, 8)))
