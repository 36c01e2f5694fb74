import hashlib
import pathlib
import socket
import subprocess
import sys
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import scipy.ndimage
from sklearn.datasets import load_digits

import nengo_cam as ncam
from nengo_cam.exceptions import DatasetUnavailableError, MissingDependencyError, ParameterError
from nengo_cam.models import files

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(ncam.__file__).parent / "data"


def test_digits_are_scikit_learns(digits):
    (train, train_classes), (test, test_classes) = digits
    assert train.shape == (1437, 28, 28, 1)
    assert test.shape == (360, 28, 28, 1)
    assert train.dtype == np.float32
    assert 0 <= train.min() <= train.max() <= 1
    original = load_digits()
    np.testing.assert_array_equal(np.concatenate([train_classes, test_classes]), original.target)
    # Linear between the centers of the small pixels, one axis after the other.
    centers = (np.arange(28) + 0.5) / 3.5 - 0.5
    for i in (0, 1000):
        columns = np.array([np.interp(centers, range(8), column) for column in original.images[i].T / 16])
        expected = np.array([np.interp(centers, range(8), row) for row in columns.T])
        np.testing.assert_allclose(train[i, :, :, 0], expected, atol=1e-6)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"^digits: .*pip install 'nengo-cam\[demo\]'"):
        ncam.datasets.digits()
    with pytest.raises(MissingDependencyError, match=r"^scattered_digits: .*pip install"):
        ncam.datasets.scattered_digits(1)


def test_the_shipped_model_reads_digits_of_strangers(digits_model, digits):
    images, classes = digits[1]
    accuracy = (digits_model.predict(images, verbose=0).argmax(1) == classes).mean()
    assert accuracy > 0.95
    assert ncam.find_head(digits_model).features == "conv4"


# Scenes


def source_digits(split):
    """Digits as they stand in scenes: linear between the centers of small pixels, empty rows and columns cut off."""
    data, centers = load_digits(), (np.arange(16) + 0.5) / 2 - 0.5
    part = slice(None, 1437) if split == "train" else slice(1437, None)
    for small, label in zip(data.images[part] / 16, data.target[part]):
        columns = np.array([np.interp(centers, range(8), column) for column in small.T])
        image = np.array([np.interp(centers, range(8), row) for row in columns.T])
        yield label, image[image.any(axis=1)][:, image.any(axis=0)]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("digits_per_image", "clutter"), [(1, 0), (2, 6), (3, 4)])
def test_boxes_hold_digits_of_the_split(split, digits_per_image, clutter):
    options = {"split": split, "digits_per_image": digits_per_image, "clutter": clutter, "size": 72}
    images, labels, boxes = ncam.datasets.scattered_digits(8, **options)
    assert images.shape == (8, 72, 72, 1)
    assert images.dtype == np.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert labels.shape == (8, digits_per_image)
    assert boxes.shape == (8, digits_per_image, 4)
    known = {}
    for label, digit in source_digits(split):
        known.setdefault((label, *digit.shape), []).append(digit)
    for image, its_labels, its_boxes in zip(images[..., 0], labels, boxes):
        assert len(set(its_labels)) == digits_per_image
        rest = image.copy()
        for label, (y0, x0, y1, x1) in zip(its_labels, its_boxes):
            found = image[y0:y1, x0:x1]
            assert any(np.allclose(found, digit, atol=1e-6) for digit in known[(label, *found.shape)])
            # Nothing touches it.
            around = image[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2]
            assert np.count_nonzero(around) == np.count_nonzero(found)
            rest[y0:y1, x0:x1] = 0
        # The distractors are apart from one another too. A piece of a digit may itself fall into parts.
        n_parts = scipy.ndimage.label(rest, np.ones((3, 3)))[1]
        assert n_parts == 0 if clutter == 0 else n_parts >= clutter


def test_scenes_come_from_the_seed():
    few = ncam.datasets.scattered_digits(3, seed=5)
    more = ncam.datasets.scattered_digits(5, seed=5)
    for ours, theirs in zip(few, more):
        np.testing.assert_array_equal(ours, theirs[:3])
    assert (ncam.datasets.scattered_digits(3, seed=6)[0] != few[0]).any()
    assert (ncam.datasets.scattered_digits(3, seed=5, split="train")[0] != few[0]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: expected a whole number of at least 1, got 0"),
        ({"size": 0.5}, "size: expected a whole number"),
        ({"digits_per_image": 0}, "digits_per_image: expected a whole number"),
        ({"digits_per_image": 11}, "all different; expected at most 10, got 11"),
        ({"clutter": -1}, "clutter: expected a whole number of at least 0, got -1"),
        ({"split": "all"}, "split: expected 'train' or 'test', got 'all'"),
        ({"seed": -1}, "seed: expected a whole number from 0"),
        ({"size": 12}, r"size: 2 digits of 16 pixels and 6 distractors found no room .* got 12\. Raise size"),
        ({"size": 30, "clutter": 20}, "found no room"),
    ],
)
def test_scenes_that_cannot_be_made(options, message):
    with pytest.raises(ParameterError, match=message):
        ncam.datasets.scattered_digits(**{"n": 1, **options})


def pointing(maps, labels, boxes):
    """How often the strongest cell of each label's map lies in its own box."""
    hits = []
    for cams, its_labels, its_boxes in zip(maps.cam.values, labels, boxes):
        for label, (y0, x0, y1, x1) in zip(its_labels, its_boxes):
            row, column = np.unravel_index(cams[label].argmax(), cams[label].shape)
            hits.append(y0 <= maps.y.values[row] < y1 and x0 <= maps.x.values[column] < x1)
    return np.mean(hits)


def test_maps_of_two_digits_point_at_their_own():
    images, labels, boxes = ncam.datasets.scattered_digits(100)
    model = ncam.datasets.scattered_digits_model()
    maps = ncam.rate_cam(model, images)
    assert pointing(maps, labels, boxes) > 0.9
    assert pointing(maps, labels, boxes[:, ::-1]) < 0.1
    named = np.argsort(maps.logits.values, axis=1)[:, -2:]
    assert np.mean(np.sort(labels) == np.sort(named)) > 0.8


@pytest.mark.slow
def test_spiking_maps_point_as_well():
    images, labels, boxes = ncam.datasets.scattered_digits(200)
    model = ncam.datasets.scattered_digits_model()
    network = ncam.convert(model, calibrate_on=ncam.datasets.scattered_digits(100, split="train")[0])
    spiking = ncam.spiking_cam(network, images, n_steps=100, seed=0, progress_bar=False)
    rate = pointing(ncam.rate_cam(model, images), labels, boxes)
    assert pointing(spiking.mean("time"), labels, boxes) > rate - 0.03


# MNIST


@pytest.fixture
def keras_home(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()

    def no_network(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    return tmp_path


def test_mnist_from_the_cache(keras_home):
    rng = np.random.default_rng(0)
    images = {f"x_{part}": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for part, n in (("train", 6), ("test", 2))}
    np.savez(keras_home / "datasets" / "mnist.npz", **images, y_train=np.arange(6, dtype=np.uint8), y_test=np.arange(2))
    (train, classes), (test, _) = ncam.datasets.mnist()
    np.testing.assert_allclose(train[..., 0], images["x_train"] / 255, rtol=1e-6)
    assert test.shape == (2, 28, 28, 1)
    assert train.dtype == np.float32
    assert classes.tolist() == list(range(6))


def test_mnist_without_cache_and_network(keras_home):
    with pytest.raises(DatasetUnavailableError, match=r"cannot be downloaded.*mnist\.npz"):
        ncam.datasets.mnist()


def test_something_else_in_the_cache(keras_home):
    (keras_home / "datasets" / "mnist.npz").write_bytes(b"not an archive")
    with pytest.raises(DatasetUnavailableError, match="cannot be read.*expected arrays x_train"):
        ncam.datasets.mnist()


# Photographs


@pytest.fixture(scope="module")
def mobilenet():
    return ncam.datasets.mobilenet()


def test_the_mobilenet_has_the_weights_that_it_was_given(mobilenet):
    """Of all arrays of the file that it was made from, in the order of their names."""
    digest = hashlib.sha256()
    with h5py.File(DATA / "mobilenet_0.25_128.h5") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in sorted(found):
            digest.update(name.encode())
            digest.update(file[name][()].tobytes())
    assert digest.hexdigest() == "b5583b7e2c2238457056747cd1094a2b95519a505fffff4e1bd4dd3fd97d9123"
    assert mobilenet.input_shape == (None, 192, 288, 3)
    small = ncam.datasets.mobilenet(size=(128, 128))
    assert small.input_shape == (None, 128, 128, 3)
    for model in (mobilenet, small):
        digest = hashlib.sha256(b"".join(values.tobytes() for values in model.get_weights()))
        assert digest.hexdigest() == "83dc61a8d9e0462aaf7334c10bc8228a86cfbf0ae9c4d4e0b3741f6cf3a8b6da"


def test_files_of_users_may_be_the_mobilenets():
    """Read without Keras, and compressed, it is the same model."""
    model = files.load_keras_model(DATA / "mobilenet_0.25_128.h5")
    expected = ncam.datasets.mobilenet((128, 128)).get_weights()
    assert all(np.array_equal(own, one) for own, one in zip(model.get_weights(), expected))


def test_labels_are_imagenets():
    labels = ncam.datasets.imagenet_labels()
    assert len(set(labels)) == len(labels) == 1001
    assert labels[0] == "background"
    # Numbers of ImageNet, which has no background.
    assert [labels[n + 1] for n in (0, 281, 285, 967, 999)] == [
        "tench",
        "tabby",
        "Egyptian cat",
        "espresso",
        "toilet tissue",
    ]
    assert (labels[135], labels[518]) == ("crane", "crane (2)")


@pytest.mark.parametrize("size", [(192, 288), (128, 128), (64, 96)])
def test_photographs_are_what_their_files_give(size):
    (samples, sample_names), (images, names) = ncam.datasets.photographs(size)
    assert (sample_names, names) == (["astronaut", "cameraman", "rocket"], ["cat", "coffee"])
    assert samples.dtype == images.dtype == np.float32
    for own, name in zip([*samples, *images], [*sample_names, *names]):
        pixels = files.load_images(DATA / "photographs" / f"{name}.jpg", size=size, channels=3, fit="crop")[0]
        np.testing.assert_allclose(own, 2 * (pixels / 255) - 1, atol=1e-6)
        assert -1 <= own.min() < -0.5
        assert 0.5 < own.max() <= 1


def test_photographs_are_scikit_images():
    """Those that are whole, as a mean over blocks of their pixels; colors, and which side is up."""
    data = pytest.importorskip("skimage.data")
    _, (images, _) = ncam.datasets.photographs()
    for own, original in zip(images, (data.chelsea(), data.coffee())):
        # A pixel for each sixteen of ours, from all that is in between.
        height, width = original.shape[:2]
        smooth = scipy.ndimage.gaussian_filter(original.astype(float), (height / 24, width / 36, 0))
        small = smooth[(np.arange(12) * height // 12) + height // 24][:, (np.arange(18) * width // 18) + width // 36]
        own = own.reshape(12, 16, 18, 16, 3).mean(axis=(1, 3))
        assert np.corrcoef(own.ravel(), small.ravel())[0, 1] > 0.97
        assert np.corrcoef(own[:, ::-1].ravel(), small.ravel())[0, 1] < 0.9


@pytest.mark.parametrize(
    "size", [128, (128,), (31, 128), (128, 31), (128.0, 128), (128, 128, 3), "12", None, (True, 64)]
)
def test_sizes_that_the_mobilenet_cannot_take(size):
    for function in (ncam.datasets.mobilenet, ncam.datasets.photographs):
        with pytest.raises(ParameterError, match=r"^size: expected height and width, .* at least 32, got .*\. Try"):
            function(size)


def test_the_spiking_mobilenet_answers_as_the_cnn_within_ten_steps():
    """At the size that it was trained on; tests/test_cli.py runs whole photographs."""
    size = (128, 128)
    (samples, _), (images, _) = ncam.datasets.photographs(size)
    model, labels = ncam.datasets.mobilenet(size), ncam.datasets.imagenet_labels()
    net = ncam.convert(model, calibrate_on=samples)
    spiking = ncam.spiking_cam(net, images, n_steps=10, label_names=labels, seed=0, progress_bar=False)
    answers = [labels[i] for i in model.predict(images, verbose=0).argmax(axis=1)]
    assert answers == ["Egyptian cat", "espresso"]
    assert spiking.answer.values.tolist() == answers
    assert spiking.label.values[spiking.logits[:, -1].argmax("label")].tolist() == answers
    rate = ncam.rate_cam(model, images, label_names=labels)
    for own, cnn, answer in zip(spiking.cam[:, -1], rate.cam, answers):
        assert np.corrcoef(own.sel(label=answer).values.ravel(), cnn.sel(label=answer).values.ravel())[0, 1] > 0.99


def test_maps_lie_on_the_cup_and_not_beside_it(mobilenet):
    _, (images, _) = ncam.datasets.photographs()
    rate = ncam.rate_cam(mobilenet, images[1:], label_names=ncam.datasets.imagenet_labels())
    cam = rate.cam.sel(label="espresso")[0]
    cup = cam.sel(y=slice(5, 115), x=slice(80, 200))
    assert float(cup.mean()) > 2 * float(cam.mean())
    strongest = cam.where(cam == cam.max(), drop=True)
    assert 5 < float(strongest.y[0]) < 115
    assert 80 < float(strongest.x[0]) < 200


def test_all_that_is_passed_on_says_whose_it_is():
    text = (DATA / "README.txt").read_text(encoding="utf-8")
    for path in [*DATA.glob("*.h5"), DATA / "imagenet_labels.txt", *(DATA / "photographs").iterdir()]:
        assert path.name in text, f"nobody says where {path.name} comes from"
    for name in ("cat", "coffee", "cameraman"):
        assert f"\n    {name}.jpg " in text
        assert "CC0 1.0" in text.split(f"\n    {name}.jpg ")[1].splitlines()[0]
    apache = (DATA / "LICENSE-Apache-2.0.txt").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in apache
    assert "END OF TERMS AND CONDITIONS" in apache


@pytest.mark.slow
def test_archives_hold_the_data_and_the_licenses(tmp_path):
    """Built as a user's pip does, but from a copy, and with the setuptools that is there."""
    # Of the checkout; what is tested may be installed elsewhere.
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nengo_cam" / "data").rglob("*") if path.is_file()}
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    if not any(names):
        pytest.skip("the sources are no checkout")
    copy = tmp_path / "copy"
    for name in filter(lambda name: name and (ROOT / name).is_file(), names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    code = "from setuptools import build_meta; print(build_meta.build_sdist('..')); print(build_meta.build_wheel('..'))"
    subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, check=True)
    (source,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with tarfile.open(source) as archive:
        assert {name.partition("/")[2] for name in archive.getnames()} > ours
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        assert inside > ours
        licenses = {name.rpartition("/")[2] for name in inside if ".dist-info/" in name and "LICENSE" in name}
        assert licenses == {"LICENSE", "LICENSE-Apache-2.0.txt"}
    assert wheel.stat().st_size < 1_700_000
