import socket
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

import nengo_cam as ncam
from nengo_cam.exceptions import DatasetUnavailableError, MissingDependencyError


def test_digits_are_scikit_learns(digits):
    (train, train_classes), (test, test_classes) = digits
    assert train.shape == (1437, 28, 28, 1)
    assert test.shape == (360, 28, 28, 1)
    assert train.dtype == np.float32
    assert 0 <= train.min() <= train.max() <= 1
    original = load_digits()
    np.testing.assert_array_equal(np.concatenate([train_classes, test_classes]), original.target)
    # Linear between the centres of the small pixels, one axis after the other.
    centres = (np.arange(28) + 0.5) / 3.5 - 0.5
    for i in (0, 1000):
        columns = np.array([np.interp(centres, range(8), column) for column in original.images[i].T / 16])
        expected = np.array([np.interp(centres, range(8), row) for row in columns.T])
        np.testing.assert_allclose(train[i, :, :, 0], expected, atol=1e-6)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'nengo-cam\[demo\]'"):
        ncam.datasets.digits()


def test_the_shipped_model_reads_digits_of_strangers(digits_model, digits):
    images, classes = digits[1]
    accuracy = (digits_model.predict(images, verbose=0).argmax(1) == classes).mean()
    assert accuracy > 0.95
    assert ncam.find_head(digits_model).features == "conv4"


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
