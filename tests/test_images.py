import numpy as np
import pytest

from nengo_cam.exceptions import ImageError
from nengo_cam.images import check_images

SHAPE = (8, 6, 1)
GOOD = np.zeros((2, *SHAPE))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "float16", "bool"])
def test_real_numbers_become_float32_unscaled(dtype):
    images = (np.arange(2 * 48) % 2).reshape(2, *SHAPE).astype(dtype)
    checked = check_images(images, SHAPE)
    assert checked.dtype == np.float32
    np.testing.assert_array_equal(checked, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GOOD[0], r"got \(8, 6, 1\). Add the batch axis"),
        (GOOD[..., 0], r"got \(2, 8, 6\). Add the channel axis"),
        (np.zeros((2, 3, 8, 6)), r"got \(2, 3, 8, 6\)"),
        (np.zeros((2, 8, 6, 3)), r"expected \(N, 8, 6, 1\)"),
        (np.zeros((0, *SHAPE)), "expected at least one image"),
        (GOOD.astype(object), "expected real numbers, got dtype object"),
        (GOOD.astype(complex), "got dtype complex128"),
        ("cat.png", "expected real numbers"),
        ([np.zeros((8, 6, 1)), np.zeros((7, 6, 1))], "different shapes"),
        (GOOD * np.nan, "got NaN or infinity in images 0, 1"),
        (np.concatenate([GOOD, GOOD[:1] + np.inf]), "in image 2"),
        (None, "expected real numbers"),
        (GOOD + 1e300, "got NaN or infinity in images 0, 1"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ImageError, match=message):
        check_images(images, SHAPE)


def test_channels_first_is_recognised():
    with pytest.raises(ImageError, match="Move the channels last"):
        check_images(np.zeros((2, 3, 8, 6)), (8, 6, 3))


def test_moving_images_need_a_frame_per_step():
    assert check_images(np.zeros((2, 7, *SHAPE)), SHAPE, n_steps=7).shape == (2, 7, *SHAPE)
    with pytest.raises(ImageError, match="expected 5 frames, got 7"):
        check_images(np.zeros((2, 7, *SHAPE)), SHAPE, n_steps=5)
