import numpy as np
import PIL.Image
import pytest
import xarray as xr

from nengo_cam.checks.images import check_images
from nengo_cam.exceptions import ImageError

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
        ("cat.png", "expected an array, got builtins.str. Read the file"),
        (GOOD[0, ..., 0], r"got \(8, 6\). Add the axes of batch and channel"),
        (np.moveaxis(GOOD, -1, 1), r"got \(2, 1, 8, 6\). Move the channels last: np.moveaxis\(images, 1, -1\)"),
        (np.moveaxis(GOOD[None], -1, 2), r"Move the channels last: np.moveaxis\(images, 2, -1\)"),
        (np.zeros((2, 7, 8, 6)), r"got \(2, 7, 8, 6\). Add the channel axis"),
        (np.zeros((2, 48)), r"Unflatten them: np.asarray\(images\).reshape\(\(-1, 8, 6, 1\)\)"),
        (np.zeros((2, 8, 6, 3)), "Give them 1 channel, as the model was built for"),
        (np.ma.masked_array(GOOD, mask=GOOD == 0), r"values are masked.*Say what stands in their place: images.filled"),
        ([np.ma.masked_array(x, mask=x == 0) for x in GOOD], "values are masked"),
        (iter(GOOD), r"got builtins.iterator. Take as many as you want: np.stack\(list\(itertools.islice"),
        ((x for x in GOOD), r"got builtins.generator. Take as many as you want"),
        ({"photo": GOOD}, r"got builtins.dict. Pass one of its arrays, such as images\['photo'\]"),
        (xr.Dataset({"a": (("n", "y", "x", "c"), GOOD)}), r"got xarray.*Dataset. Pass one of its arrays.*\['a'\]"),
        ((GOOD, np.arange(2)), r"Pass the images without their labels: images\[0\]"),
        ([(x, 1) for x in GOOD], r"Pass the images without their labels: \[x for x, _ in images\]"),
        ({1, 2}, "got builtins.set. Make one of the images"),
        (np.array([np.zeros((2, 2)), np.zeros(3)], dtype=object), r"array of arrays; make one of them: np.stack"),
        (GOOD.astype("datetime64[s]"), r"got dtype datetime64\[s\]. Make numbers of them"),
        (GOOD.astype(complex), r"Take the real part, or the magnitude"),
        (np.array(["a", "b"]), "Read the files that they name"),
        (np.full((1, *SHAPE), np.inf, "float16"), "got NaN or infinity in image 0"),
        ([np.zeros((8, 6, 1)), np.zeros((7, 6, 1))], "different shapes.* Resize them first"),
        ([np.zeros((8, 6, 1)), np.zeros(3)], r"images\[0\]"),
        (GOOD * np.nan, "got NaN or infinity in images 0, 1"),
        (np.concatenate([GOOD, GOOD[:1] + np.inf]), "in image 2"),
        (None, "expected real numbers"),
        (GOOD + 1e300, "got NaN or infinity in images 0, 1"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ImageError, match=message):
        check_images(images, SHAPE)


def test_channels_first_is_recognized():
    with pytest.raises(ImageError, match="Move the channels last"):
        check_images(np.zeros((2, 3, 8, 6)), (8, 6, 3))


def test_moving_images_need_a_frame_per_step():
    assert check_images(np.zeros((2, 7, *SHAPE)), SHAPE, n_steps=7).shape == (2, 7, *SHAPE)
    with pytest.raises(ImageError, match="expected 5 frames, got 7"):
        check_images(np.zeros((2, 7, *SHAPE)), SHAPE, n_steps=5)


class Batches:
    """As Keras's Sequence: batches by number, more and more of them."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return GOOD


def test_batches_are_not_read():
    with pytest.raises(ImageError, match=r"got .*Batches. It gives batch after batch; make one array: np.concatenate"):
        check_images(Batches(), SHAPE)


def test_what_holds_an_array_is_taken(tf):
    images = np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32)
    frozen = images.copy()
    frozen.setflags(write=False)
    for given in (
        np.ma.masked_array(images), xr.DataArray(images), tf.constant(images), [*tf.constant(images)], images.tolist(),
        tf.Variable(images), frozen, np.repeat(images, 2, axis=0)[::2], images.astype(">f8"), memoryview(images),
    ):  # fmt: skip
        checked = check_images(given, SHAPE)
        assert type(checked) is np.ndarray
        np.testing.assert_array_equal(checked, images)
    np.testing.assert_allclose(check_images(tf.cast(images, "bfloat16"), SHAPE), images, atol=0.01)
    image = PIL.Image.fromarray((255 * images[0, ..., 0]).astype(np.uint8))
    assert check_images(np.asarray(image)[None, ..., None], SHAPE).max() > 1


def test_remedies_for_data_sets_work(tf):
    """What the error says to do is done."""
    images = np.random.default_rng(0).random((4, *SHAPE)).astype(np.float32)
    one_by_one = tf.data.Dataset.from_tensor_slices(images)
    pairs = tf.data.Dataset.from_tensor_slices((images, np.arange(4)))
    for dataset in (
        one_by_one, one_by_one.batch(3), pairs, pairs.batch(3),
        tf.data.Dataset.from_tensor_slices({"photo": images}).batch(3),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=r"expected an array, got tensorflow.*Make one: np\.") as caught:
            check_images(dataset, SHAPE)
        remedy = str(caught.value).rsplit("Make one: ", 1)[1].rstrip(".")
        np.testing.assert_array_equal(check_images(eval(remedy, {"np": np, "images": dataset}), SHAPE), images)
    with pytest.raises(ImageError, match="of which NumPy makes no array"):
        check_images(tf.keras.Input(SHAPE), SHAPE)
