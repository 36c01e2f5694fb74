"""Rescaling and Normalization at the input of a model: the user feeds what they always fed."""

import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam import inference_model
from nengo_cam.exceptions import UnsupportedModelError

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


def test_images_stay_as_they_were_fed(reduced, kinds):
    """Preprocessing with an offset stands before zero padding, natively."""

    def build(x):
        x = layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 5, 6])(layers.Rescaling(1 / 127.5, -1, name="in")(x))
        return layers.Conv2D(4, 3, padding="same", activation="relu")(x)

    reduction = reduced(build)
    assert kinds(reduction) == ["BatchNormalization", "Conv2D"]
    assert [fate.words for fate in reduction.fates][:2] == [
        "written as BatchNormalization",
        "folded into 'in'",
    ]


def test_preprocessing_converts_natively(with_head):
    model = with_head(
        lambda x: layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255, -0.5)(x[..., ::-1]))
    )
    net = ncam.convert(model, neurons=None)
    assert net.tensor_nodes == ()
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3)).astype(np.float32)
    assert net.verify(images).output_difference < 1e-5


def test_an_adapted_normalization_keeps_its_statistics(reduced, kinds):
    images = np.random.default_rng(0).normal(5, 3, (4, 9, 8, 3))
    normalization = layers.Normalization()
    normalization.adapt(images)
    reduction = reduced(lambda x: layers.Conv2D(4, 3, name="conv")(normalization(x)))
    assert kinds(reduction) == ["Conv2D"]


def test_an_adapted_normalization_of_positions_is_refused(with_head):
    normalization = layers.Normalization(axis=(1, 2, 3), name="adapted")
    normalization.adapt(np.random.default_rng(0).normal(0, 1, (4, 9, 8, 3)))
    model = with_head(lambda x: layers.Conv2D(4, 3)(normalization(x)))
    with pytest.raises(UnsupportedModelError, match=r"'adapted' was adapted to more than channels; .* got \(1, 2, 3\)"):
        inference_model(model)
