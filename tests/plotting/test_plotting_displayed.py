import numpy as np
import pytest

from nengo_cam.exceptions import ImageError, ResultError
from nengo_cam.plotting.displayed import (
    as_images,
    check_cover,
    displayed,
    displayed_signal,
    frame_indices,
    gray,
    image_extent,
    image_index,
    map_extent,
)


@pytest.mark.parametrize(
    ("shape", "full"),
    [((2, 5, 6), (2, 1, 5, 6, 1)), ((2, 5, 6, 3), (2, 1, 5, 6, 3)), ((2, 7, 5, 6, 3), (2, 7, 5, 6, 3))],
)
def test_axes(shape, full):
    images = np.arange(np.prod(shape)).reshape(shape)
    found = as_images(images, [5, 6, 1])
    assert found.shape == full
    np.testing.assert_array_equal(found.ravel(), images.ravel())


@pytest.mark.parametrize("shape", [(5, 6), (0, 5, 6), (1, 1, 1, 5, 6, 1)])
def test_wrong_number_of_axes(shape):
    with pytest.raises(ImageError, match=r"expected \(N, Y, X\), \(N, Y, X, C\) or \(N, T, Y, X, C\)"):
        as_images(np.zeros(shape))


def test_wrong_number_of_pixels():
    with pytest.raises(ImageError, match=r"expected \(5, 6\) \(Y, X\) .* got \(6, 5\)"):
        as_images(np.zeros((1, 6, 5)), [5, 6, 1])


def test_words_are_no_images():
    with pytest.raises(ImageError, match="images: not numbers"):
        as_images([[["a"]]])


def test_same_number_is_matched_by_position_and_the_full_set_by_coordinate():
    assert image_index(n_images=2, n_maps=2, position=1, coordinate=7) == 1
    assert image_index(n_images=9, n_maps=2, position=1, coordinate=7) == 7


@pytest.mark.parametrize("coordinate", [9, -1, "cat.png"])
def test_no_image_for_the_coordinate(coordinate):
    with pytest.raises(ImageError, match=f"none for the image coordinate {coordinate!r}; .* got 9"):
        image_index(n_images=9, n_maps=2, position=1, coordinate=coordinate)


def test_frames_of_a_film():
    times = np.array([0.004, 0.006])
    assert frame_indices(1, times, 0.002).tolist() == [0, 0]
    assert frame_indices(2, times, 0.002).tolist() == [0, 1]
    assert frame_indices(3, times, 0.002).tolist() == [1, 2]
    with pytest.raises(ImageError, match="one per step up to step 6, got 5"):
        frame_indices(5, times, 0.001)


def test_stretched_to_its_own_range():
    np.testing.assert_allclose(displayed([[[-2], [0]], [[2], [6]]]), [[0, 0.25], [0.5, 1]])
    assert np.all(displayed(np.full((2, 2, 1), 7)) == 0)


def test_channels():
    image = np.arange(2 * 2 * 3, dtype=float).reshape(2, 2, 3)
    np.testing.assert_allclose(displayed(image), image / 11)
    # What has negative values is not events.
    np.testing.assert_allclose(displayed(image[..., :2] - 20), image[..., :2].mean(-1) / 9 - 0.5 / 9)
    four = np.arange(2 * 2 * 4, dtype=float).reshape(2, 2, 4)
    np.testing.assert_allclose(displayed(four), np.arange(4).reshape(2, 2) / 3)


def test_events_are_shades_about_a_medium_gray():
    """Channels are off and on: neither, one event off, one on, two on, and as many of both."""
    events = np.array([[[0, 0], [1, 0], [0, 1], [0, 2], [1, 1]]])
    np.testing.assert_allclose(displayed(events), [[0.5, 0.25, 0.75, 1, 0.5]])
    np.testing.assert_allclose(displayed(np.zeros((2, 2, 2))), 0.5)


def test_gray_keeps_the_brightness_of_gray():
    np.testing.assert_allclose(gray(np.full((1, 1, 3), 0.4)), 0.4)
    assert gray(np.array([[[0.0, 1, 0]]])) > gray(np.array([[[0.0, 0, 1]]]))
    picture = np.zeros((2, 2))
    assert gray(picture) is picture


def test_pixels_that_are_not_finite():
    with pytest.raises(ImageError, match="some pixels are not finite"):
        displayed([[[0.0], [np.nan]]])


@pytest.mark.parametrize(("rows", "columns", "height", "width"), [(28, 28, 28, 28), (7, 4, 28, 32), (1, 1, 5, 9)])
def test_map_covers_exactly_the_image(rows, columns, height, width):
    y = (np.arange(rows) + 0.5) * height / rows - 0.5
    x = (np.arange(columns) + 0.5) * width / columns - 0.5
    np.testing.assert_allclose(map_extent(y, x), image_extent((height, width)))
    assert image_extent((height, width, 3)) == (-0.5, width - 0.5, height - 0.5, -0.5)


def test_rows_in_reverse_order_stay_in_their_place():
    assert map_extent([2.5, 0.5], [0.5, 2.5]) == (-0.5, 3.5, -0.5, 3.5)


def test_uneven_cells():
    with pytest.raises(ResultError, match=r"coordinate 'x': the cells are not evenly spaced; .* from 1 to 2"):
        map_extent([0, 1], [0, 1, 3])


def test_cover_forgives_one_cell():
    check_cover((-0.5, 31.5, 31.5, -0.5), (28, 28), (4, 4))
    with pytest.raises(ImageError, match=r"expected about \(32, 32\) pixels .* got \(23, 28\)"):
        check_cover((-0.5, 31.5, 31.5, -0.5), (23, 28), (4, 4))


@pytest.mark.parametrize(
    ("n_axes", "shape", "full"),
    [
        (1, (2, 9), (2, 1, 9, 1)),
        (1, (2, 9, 3), (2, 1, 9, 3)),
        (1, (2, 7, 9, 3), (2, 7, 9, 3)),
        (3, (2, 4, 5, 6), (2, 1, 4, 5, 6, 1)),
        (3, (2, 4, 5, 6, 3), (2, 1, 4, 5, 6, 3)),
        (3, (2, 7, 4, 5, 6, 3), (2, 7, 4, 5, 6, 3)),
    ],
)
def test_axes_of_signals_and_volumes(n_axes, shape, full):
    images = np.arange(np.prod(shape)).reshape(shape)
    found = as_images(images, full[2:], n_axes)
    assert found.shape == full
    np.testing.assert_array_equal(found.ravel(), images.ravel())
    with pytest.raises(ImageError, match=rf"wrong number of pixels; expected .* \({', '.join('ZYX'[-n_axes:])}\) as"):
        as_images(images, [99] * n_axes, n_axes)


def test_channels_of_a_signal_keep_their_proportions():
    np.testing.assert_allclose(displayed_signal([[-2.0, 0], [2, 6]]), [[0, 0.25], [0.5, 1]])
    assert np.all(displayed_signal(np.full((3, 2), 7)) == 0)
    with pytest.raises(ImageError, match="some pixels are not finite"):
        displayed_signal([[np.inf]])


def test_maps_whose_place_is_not_known_say_so():
    """Without the shape of an image, coordinates count cells, and no other image would do either."""
    with pytest.raises(
        ImageError, match=r"\(28, 28\) pixels .* place in the image is not known; .* \(7, 7\) .* input_shape="
    ):
        check_cover((-0.5, 6.5, 6.5, -0.5), (28, 28), (7, 7), counted=True)
    check_cover((-0.5, 6.5, 6.5, -0.5), (7, 7), (7, 7), counted=True)
