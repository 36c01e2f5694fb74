import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import UnsupportedModelError
from nengo_cam.models.simplify import reduce_model

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


def build(x):
    x = layers.Conv2D(4, 3, activation="relu", name="conv0")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization()(layers.Conv2D(4, 3, name="conv1")(x)))
    return layers.Conv2D(4, 1, name="conv2")(x)


def test_a_wrong_weight_is_found_and_named(with_head, lying):
    assert reduce_model(with_head(build)).largest_difference < 1e-5
    model = lying(with_head(build), "conv1", lambda output: 1.001 * output)
    with pytest.raises(
        UnsupportedModelError, match="after Conv2D 'conv1' the model .* within 1e-04 of the largest, got"
    ):
        reduce_model(model)


def test_a_wrong_readout_is_found(with_head, lying):
    model = lying(with_head(build), "readout", lambda output: output + 1)
    with pytest.raises(UnsupportedModelError, match="after the readout the model"):
        reduce_model(model)


def test_a_saturated_softmax_hides_nothing(with_head, lying):
    """The output is (0, 1, 0) whatever the features are."""
    linear = lying(with_head(build), "conv0", lambda output: 1.1 * output)
    linear.get_layer("readout").bias.assign([0, 1000, 0])
    model = _tf.keras.Model(linear.input, layers.Softmax()(linear.output))
    with pytest.raises(UnsupportedModelError, match="after Conv2D 'conv0'"):
        reduce_model(model)


def test_images_are_in_the_range_that_the_model_takes(with_head):
    """The square root is NaN for what preprocessing makes negative."""

    def preprocessed(x):
        x = layers.Rescaling(2.0)(layers.Dropout(0.5)(layers.Normalization(mean=100.0, variance=4.0)(x)))
        return layers.Conv2D(4, 3)(layers.Lambda(_tf.sqrt)(x))

    assert reduce_model(with_head(preprocessed)).largest_difference < 1e-5
    assert reduce_model(with_head(lambda x: layers.Conv2D(4, 3)(layers.Lambda(_tf.sqrt)(x)))).largest_difference < 1e-5


def test_what_acts_by_chance_is_refused(with_head):
    class Noisy(layers.Layer):
        def call(self, inputs):
            return inputs + _tf.random.normal(_tf.shape(inputs))

    model = with_head(lambda x: Noisy(name="noisy")(layers.Conv2D(4, 3)(x)))
    with pytest.raises(UnsupportedModelError, match="after Noisy 'noisy' the model that was simplified differs"):
        reduce_model(model)


def test_whole_numbers(tf):
    inputs = tf.keras.Input((8, 6, 3), dtype="uint8")
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    model = tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    reduction = reduce_model(model)
    assert reduction.largest_difference < 1e-5
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3))
    np.testing.assert_allclose(reduction.model(images.astype(np.float32)), model(images), rtol=1e-4, atol=1e-6)


def test_half_precision(tf):
    inputs = tf.keras.Input((8, 6, 3))
    x = layers.BatchNormalization(dtype="mixed_float16")(layers.Conv2D(4, 3, dtype="mixed_float16")(inputs))
    x = layers.GlobalAveragePooling2D(dtype="float32")(layers.ReLU(dtype="mixed_float16")(x))
    model = tf.keras.Model(inputs, layers.Dense(2)(x))
    reduction = reduce_model(model)
    assert 1e-6 < reduction.largest_difference < 1e-2
