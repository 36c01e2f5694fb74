import numpy as np
import pytest

from nengo_cam.exceptions import ModelTypeError
from nengo_cam.models.graph import flatten


def test_calls_come_after_what_feeds_them(small_model):
    flat = flatten(small_model)
    known = set(flat.input_shapes)
    for call in flat.calls:
        assert set(call.inputs) <= known
        known |= set(call.outputs)
    assert [call.name for call in flat.calls] == ["conv0", "conv1", "gap", "readout"]
    assert flat.shape(flat.calls[1].outputs[0]) == (None, 8, 6, 5)
    assert flat.producer(flat.calls[0].inputs[0]) is None


def test_nested_models_are_opened(tf, small_model):
    inner = tf.keras.Model(small_model.input, small_model.get_layer("conv1").output, name="inner")
    x = inputs = tf.keras.Input((8, 6, 2))
    x = inner(x)
    x = tf.keras.layers.GlobalAveragePooling2D(name="gap")(x)
    outer = tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="readout")(x))
    assert [call.name for call in flatten(outer).calls] == ["conv0", "conv1", "gap", "readout"]


def test_layers_of_the_same_name_in_two_nested_models_are_told_apart(tf):
    def inner(name, filters):
        x = tf.keras.Input((4, 4, filters))
        return tf.keras.Model(x, tf.keras.layers.Conv2D(filters, 1, name="conv")(x), name=name)

    x = inputs = tf.keras.Input((4, 4, 2))
    model = tf.keras.Model(inputs, inner("second", 2)(inner("first", 2)(x)))
    assert [call.name for call in flatten(model).calls] == ["conv", "second_conv"]


def test_a_layer_called_twice_is_two_calls_of_one_layer(tf):
    conv = tf.keras.layers.Conv2D(2, 1, name="shared")
    inputs = tf.keras.Input((4, 4, 2))
    model = tf.keras.Model(inputs, conv(conv(inputs)))
    first, second = flatten(model).calls
    assert first.layer is second.layer is conv
    assert first.name == second.name == "shared"
    assert second.inputs == first.outputs


def test_other_things_are_refused(tf):
    with pytest.raises(ModelTypeError, match=r"expected a tf.keras.Model, got numpy.ndarray"):
        flatten(np.zeros(3))
    with pytest.raises(ModelTypeError, match="does not know its input shape"):
        flatten(tf.keras.Sequential([tf.keras.layers.Dense(2)]))

    class Mine(tf.keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ModelTypeError, match="the subclassed model Mine"):
        flatten(Mine())
