import numpy as np
import pytest

from nengo_cam import find_head
from nengo_cam.exceptions import HeadError


def gap(tf, **options):
    return tf.keras.layers.GlobalAveragePooling2D(name="gap", **options)


def test_names_shapes_and_weights(small_model):
    head = find_head(small_model)
    assert (head.features, head.pooling, head.readout, head.activation) == ("conv1", "gap", "readout", "softmax")
    assert (head.input_shape, head.map_shape, head.n_channels, head.n_labels) == ((8, 6, 2), (8, 6), 5, 3)
    kernel, bias = small_model.get_layer("readout").get_weights()
    np.testing.assert_array_equal(head.kernel, kernel)
    np.testing.assert_array_equal(head.bias, bias)


@pytest.mark.parametrize("activation", ["linear", "softmax", "sigmoid"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_readout_forms(make_model, activation, use_bias):
    head = find_head(make_model(activation=activation, use_bias=use_bias))
    assert head.activation == activation
    assert head.bias.any() == use_bias


def test_what_may_stand_between_and_after(tf, make_model):
    layers = tf.keras.layers
    model = make_model(
        gap(tf, keepdims=True),
        layers.Dropout(0.5),
        layers.Reshape((5, 1)),
        layers.Activation("linear"),
        layers.Flatten(),
        layers.Dense(3, name="readout"),
        layers.Softmax(),
    )
    head = find_head(model)
    assert (head.features, head.pooling, head.readout, head.activation) == ("conv1", "gap", "readout", "softmax")


def test_activation_layer_after_the_readout(tf, make_model):
    model = make_model(gap(tf), tf.keras.layers.Dense(2), tf.keras.layers.Activation("sigmoid"))
    assert find_head(model).activation == "sigmoid"


def test_sequential_and_features_behind_dropout(tf):
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((6, 6, 1)),
            layers.Conv2D(3, 3, name="conv"),
            layers.Dropout(0.1, name="drop"),
            gap(tf),
            layers.Dense(2),
        ]
    )
    head = find_head(model)
    assert head.features == "drop"
    assert head.map_shape == (4, 4)


def test_pooling_the_input_itself(tf):
    inputs = tf.keras.Input((4, 4, 3), name="picture")
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(gap(tf)(inputs)))
    assert find_head(model).features == "picture"


def test_flatten_in_place_of_pooling_names_what_was_seen_and_what_could_be_pooled(tf, make_model):
    model = make_model(tf.keras.layers.Flatten(name="flat"), tf.keras.layers.Dense(3, name="readout"))
    with pytest.raises(HeadError, match="'readout' is fed by 'flat'; expected a global average pooling") as caught:
        find_head(model)
    assert caught.value.poolable == ("conv0", "conv1")
    assert caught.value.layers[-2:] == ("flat", "readout")
    assert "['conv0', 'conv1']" in str(caught.value)


def test_what_is_pooled_already_is_not_named(tf, make_model):
    model = make_model(gap(tf, keepdims=True), tf.keras.layers.Conv2D(3, 1, name="readout"))
    with pytest.raises(HeadError, match="A 1x1 convolution as readout is not supported") as caught:
        find_head(model)
    assert caught.value.poolable == ("conv0", "conv1")


def other_heads(tf):
    layers = tf.keras.layers
    return {
        "no readout": ([gap(tf)], "no readout was found.*GlobalAveragePooling2D 'gap'"),
        "two Dense": (
            [gap(tf), layers.Dense(4), layers.Dense(2)],
            "expected a global average pooling layer, got Dense",
        ),
        "relu readout": ([gap(tf), layers.Dense(2, activation="relu")], "expected one activation of .*, got relu"),
        "two activations": (
            [gap(tf), layers.Dense(2, activation="softmax"), layers.Activation("sigmoid")],
            "got softmax and sigmoid",
        ),
        "max pooling": ([layers.GlobalMaxPooling2D(), layers.Dense(2)], "got GlobalMaxPooling2D"),
        "Dense on maps": ([gap(tf, keepdims=True), layers.Dense(2)], "Put a Flatten layer before it"),
    }


@pytest.mark.parametrize(
    "name", ["no readout", "two Dense", "relu readout", "two activations", "max pooling", "Dense on maps"]
)
def test_other_heads_are_refused(tf, make_model, name):
    tail, message = other_heads(tf)[name]
    with pytest.raises(HeadError, match=message):
        find_head(make_model(*tail))


def test_channels_first_is_refused(tf):
    inputs = tf.keras.Input((3, 4, 4))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(gap(tf, data_format="channels_first")(inputs)))
    with pytest.raises(HeadError, match="expected 'channels_last', got 'channels_first'"):
        find_head(model)


def test_several_inputs_or_outputs_are_refused(tf, small_model):
    two = tf.keras.Model(small_model.input, [small_model.output, small_model.get_layer("gap").output])
    with pytest.raises(HeadError, match="1 inputs and 2 outputs"):
        find_head(two)


def test_open_image_size_is_refused(tf):
    inputs = tf.keras.Input((None, None, 3))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(gap(tf)(inputs)))
    with pytest.raises(HeadError, match="expected a fixed size, got None"):
        find_head(model)


def test_branches_in_the_head_are_refused(tf, make_model):
    base = make_model()
    pooled = base.get_layer("gap").output
    joined = tf.keras.layers.Concatenate(name="join")([pooled, pooled])
    model = tf.keras.Model(base.input, tf.keras.layers.Dense(2)(joined))
    with pytest.raises(HeadError, match="'join' has 2 inputs"):
        find_head(model)
