import numpy as np
import pytest

from nengo_cam.checks.images import check_images
from nengo_cam.checks.sources import CheckedImages, FrameBatches, ImageSource
from nengo_cam.exceptions import ImageError

SHAPE = (3, 2, 1)


class Blocks:
    """Gives rows of an array, writes down how many were asked for, and never gives more than it may."""

    def __init__(self, array, at_most=4, shape=None):
        self.array, self.at_most, self.asked = array, at_most, []
        self.shape = array.shape if shape is None else shape

    def read_rows(self, start, stop):
        assert 0 < stop - start <= self.at_most
        self.asked.append((start, stop))
        return self.array[start:stop]


@pytest.fixture
def still():
    return np.random.default_rng(0).random((7, *SHAPE))


@pytest.fixture
def moving():
    return np.random.default_rng(1).random((5, 3, *SHAPE))


def test_an_array_is_no_source(still):
    assert not isinstance(still, ImageSource)
    assert isinstance(Blocks(still), ImageSource)


def test_a_source_is_not_read_before_it_is_needed(still):
    source = Blocks(still)
    images = CheckedImages(source, SHAPE)
    assert (len(images), images.shape, images.moving, images.array) == (7, (7, *SHAPE), False, None)
    assert source.asked == []
    block = images.read(slice(2, 6))
    assert source.asked == [(2, 6)]
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, still[2:6].astype("float32"))


def test_an_array_is_checked_at_once_and_read_without_a_copy(still):
    array = still.astype("float32")
    images = CheckedImages(array, SHAPE)
    assert np.shares_memory(images.read(slice(1, 3)), array)
    array[6] = np.nan
    with pytest.raises(ImageError, match="^images: expected finite values, got NaN or infinity in image 6"):
        CheckedImages(array, SHAPE)


@pytest.mark.parametrize(
    ("shape", "n_steps"), [((7, 2, 3, 1), None), ((7, 3, 2), None), ((0, *SHAPE), None), ((2, 5, *SHAPE), 4)]
)
def test_a_wrong_shape_is_refused_as_that_of_an_array(shape, n_steps):
    messages = []
    for given in (np.zeros(shape), Blocks(np.zeros(shape))):
        with pytest.raises(ImageError, match=r"^photos: ") as caught:
            CheckedImages(given, SHAPE, n_steps=n_steps, name="photos")
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert given.asked == []


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.full((2, *SHAPE), np.nan), "rows 2 to 3 of the source: expected finite values, got NaN .* in images 2, 3"),
        (np.stack([np.zeros(SHAPE), np.full(SHAPE, np.inf)]), "rows 2 to 3 .* in image 3[.]"),
        (np.zeros((2, 2, 3, 1)), r"rows 2 to 3 of the source: wrong shape; expected \(N, 3, 2, 1\)"),
        (np.zeros((1, *SHAPE)), r"rows 2 to 3 .*: wrong shape; expected \(2, 3, 2, 1\), got \(1, 3, 2, 1\). Give as"),
        (np.zeros((2, 4, *SHAPE)), r"rows 2 to 3 .*: wrong shape; expected \(2, 3, 2, 1\), got \(2, 4, 3, 2, 1\)"),
        (np.zeros((2, *SHAPE), "complex64"), "rows 2 to 3 of the source: expected real numbers, got dtype complex64"),
        ("photo.png", "rows 2 to 3 of the source: expected an array, got builtins.str"),
    ],
)
def test_a_bad_block_is_named(still, block, message):
    class Bad(Blocks):
        def read_rows(self, start, stop):
            return block if start == 2 else super().read_rows(start, stop)

    images = CheckedImages(Bad(still), SHAPE)
    images.read(slice(0, 2))
    with pytest.raises(ImageError, match=message):
        images.read(slice(2, 4))
    images.read(slice(4, 6))


@pytest.mark.parametrize("n", [1, 2, 4, 5, 100])
@pytest.mark.parametrize("kind", ["still", "moving"])
def test_frames_are_those_of_the_array_in_the_same_batches(request, kind, n):
    array = request.getfixturevalue(kind).astype("float32")
    flat = array.reshape(-1, *SHAPE)
    # Moving images are read one by one if one has more frames than are wanted.
    source = Blocks(array, at_most=max(1, n // 3) if kind == "moving" else n)
    for given in (array, source):
        found = list(CheckedImages(given, SHAPE).frames(n))
        assert [positions.start for positions, _ in found] == list(range(0, len(flat), n))
        assert found[-1][0].stop == len(flat)
        for positions, frames in found:
            np.testing.assert_array_equal(frames, flat[positions])
    assert [start for start, _ in source.asked] == sorted({start for start, _ in source.asked})
    assert source.asked[-1][1] == len(array)


def test_batches_hold_what_came_in_order():
    batches = FrameBatches(4)
    given = [np.arange(3), np.arange(3, 12), np.arange(12, 12), np.arange(12, 14)]
    found = [[batch.tolist() for batch in batches.add(block, last=i == 3)] for i, block in enumerate(given)]
    assert found == [[], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]], [], [[12, 13]]]


def test_who_wants_an_array_is_told_how_to_get_one(still):
    source = Blocks(still, at_most=7)
    with pytest.raises(ImageError, match=r"read all: images.read_rows\(0, images.shape\[0\]\)"):
        check_images(source, SHAPE)
    np.testing.assert_array_equal(source.read_rows(0, source.shape[0]), still)
