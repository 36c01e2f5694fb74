import numpy as np
import pytest

from nengo_cam.exceptions import ImageError, ResultError
from nengo_cam.plotting.extent import check_cover, image_extent, map_extent


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
