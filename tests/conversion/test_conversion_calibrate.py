import numpy as np
import pytest

from nengo_cam import inference_model
from nengo_cam.conversion.calibrate import calibrate_layers
from nengo_cam.exceptions import ParameterError


def test_scales_from_the_layers_own_activity(tf, small_model, images):
    simple = inference_model(small_model)
    scales = calibrate_layers(simple, images, target_rate=150, percentile=90, batch_size=2)
    assert list(scales) == ["conv0", "conv1"]
    for name, scale in scales.items():
        activity = tf.keras.Model(simple.input, simple.get_layer(name).output).predict(images, verbose=0)
        assert scale == pytest.approx(150 / np.percentile(activity, 90), rel=1e-6)


def test_a_layer_that_is_called_twice_is_calibrated_on_both_calls(tf, images):
    conv = tf.keras.layers.Conv2D(2, 3, padding="same", activation="relu", name="shared", bias_initializer="ones")
    inputs = tf.keras.Input((8, 6, 2))
    first = conv(inputs)
    second = conv(first)
    x = tf.keras.layers.GlobalAveragePooling2D()(second)
    model = inference_model(tf.keras.Model(inputs, tf.keras.layers.Dense(2)(x)))
    shared = model.get_layer("shared")
    both = tf.keras.Model(model.input, [shared.get_output_at(0), shared.get_output_at(1)]).predict(images, verbose=0)
    expected = 200 / np.percentile(np.concatenate([np.ravel(part) for part in both]), 99)
    assert calibrate_layers(model, images, percentile=99)["shared"] == pytest.approx(expected, rel=1e-5)


def test_silent_layers_are_left_alone(small_model, images):
    simple = inference_model(small_model)
    kernel, bias = simple.get_layer("conv0").get_weights()
    simple.get_layer("conv0").set_weights([kernel * 0, bias * 0 - 1])
    assert calibrate_layers(simple, images)["conv0"] == 1.0


@pytest.mark.parametrize("rate", [0, -5, np.nan, "fast"])
def test_wrong_rates(small_model, images, rate):
    with pytest.raises(ParameterError, match="target_rate"):
        calibrate_layers(inference_model(small_model), images, target_rate=rate)


@pytest.mark.parametrize("percentile", [0, 101, np.nan, None])
def test_wrong_percentiles(small_model, images, percentile):
    with pytest.raises(ParameterError, match="percentile"):
        calibrate_layers(inference_model(small_model), images, percentile=percentile)
