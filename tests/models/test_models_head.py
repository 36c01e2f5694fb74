import dataclasses

import numpy as np
import pytest

import nengo_cam as ncam
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
    layers = tf.keras.layers
    model = make_model(gap(tf, keepdims=True), layers.Conv2D(3, 1), layers.Conv2D(2, 1, name="last"))
    with pytest.raises(HeadError, match="expected a global average pooling layer, got Conv2D") as caught:
        find_head(model)
    assert caught.value.poolable == ("conv0", "conv1")


def affine(tf, name):
    """BatchNormalization that is far from doing nothing."""
    rng = np.random.default_rng(3)

    def make(shape, dtype=None):
        return tf.constant(rng.uniform(0.5, 2, shape), dtype)

    options = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), make)
    return tf.keras.layers.BatchNormalization(
        **{f"{key}_initializer": value for key, value in options.items()}, name=name
    )


def heads(tf):
    """The tail of a model by the name of its form, and what has to be found: features, pooling, readout."""
    layers = tf.keras.layers
    return {
        "MobileNet": (
            [
                gap(tf, keepdims=True),
                layers.Dropout(0.1),
                layers.Conv2D(3, 1, name="predictions"),
                layers.Reshape((3,)),
                layers.Activation("softmax"),
            ],
            ("conv1", "gap", "predictions"),
        ),
        "kept axes": ([gap(tf, keepdims=True), layers.Dense(3, name="readout")], ("conv1", "gap", "readout")),
        "window as large as the map": (
            [layers.AveragePooling2D((8, 6), name="window"), layers.Flatten(), layers.Dense(3, name="readout")],
            ("conv1", "window", "readout"),
        ),
        "features are the maps": (
            [layers.Conv2D(3, 1, name="maps"), gap(tf), layers.Softmax()],
            ("maps", "gap", "gap"),
        ),
        "rectified features are the maps": (
            [layers.Conv2D(3, 1, activation="relu", name="maps"), gap(tf), layers.Activation("sigmoid")],
            ("maps", "gap", "gap"),
        ),
        "linear maps without activation": ([layers.Conv2D(3, 1, name="maps"), gap(tf)], ("maps", "gap", "gap")),
        "normalization before pooling": (
            [affine(tf, "norm"), gap(tf), layers.Dense(3, name="readout")],
            ("conv1", "gap", "readout"),
        ),
        "normalization everywhere": (
            [
                affine(tf, "norm0"),
                layers.Dropout(0.2),
                gap(tf),
                affine(tf, "norm1"),
                layers.Dense(3, name="readout"),
                affine(tf, "norm2"),
                layers.Softmax(),
            ],
            ("conv1", "gap", "readout"),
        ),
    }


HEADS = [
    "MobileNet", "kept axes", "window as large as the map", "features are the maps", "rectified features are the maps",
    "linear maps without activation", "normalization before pooling", "normalization everywhere",
]  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_mean_features_times_kernel_plus_bias_is_what_keras_says(tf, make_model, images, name):
    tail, expected = heads(tf)[name]
    model = make_model(*tail)
    for layer in model.layers:
        if "norm" in layer.name:
            layer.set_weights([w + 1 for w in layer.get_weights()])
    head = find_head(model)
    assert (head.features, head.pooling, head.readout) == expected
    features = tf.keras.Model(model.input, model.get_layer(head.features).output)(images).numpy()
    assert head.map_shape == features.shape[1:3]
    logits = features.mean((1, 2)) @ head.kernel + head.bias
    if head.activation == "softmax":
        logits = tf.nn.softmax(logits).numpy()
    elif head.activation == "sigmoid":
        logits = tf.sigmoid(logits).numpy()
    np.testing.assert_allclose(logits, model(images).numpy().reshape(len(images), -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_axes", [1, 3])
def test_maps_with_one_or_three_axes(tf, n_axes):
    layers = tf.keras.layers
    shape = (7, 6, 5)[:n_axes]
    inputs = tf.keras.Input((*shape, 2))
    x = getattr(layers, f"Conv{n_axes}D")(4, 3, activation="relu", name="conv")(inputs)
    x = getattr(layers, f"GlobalAveragePooling{n_axes}D")()(x)
    head = find_head(tf.keras.Model(inputs, layers.Dense(3)(x)))
    assert head.input_shape == (*shape, 2)
    assert head.map_shape == tuple(n - 2 for n in shape)
    assert head.dims == {1: ("x",), 3: ("z", "y", "x")}[n_axes]


def test_one_of_several_outputs(tf, small_model):
    other = tf.keras.layers.Dense(4, name="other")(small_model.get_layer("gap").output)
    model = tf.keras.Model(small_model.input, [small_model.output, other], name="two")
    for output in ("other", 1):
        assert (find_head(model, output=output).readout, find_head(model, output=output).n_labels) == ("other", 4)
    assert find_head(model, output=0).n_labels == 3
    for output in (None, "third", 2, True):
        with pytest.raises(HeadError, match=r"it has 2 outputs; expected output=, one of \['readout', 'other'\]"):
            find_head(model, output=output)


def other_heads(tf):
    layers = tf.keras.layers
    return {
        "no readout": ([gap(tf)], "no readout was found.*GlobalAveragePooling2D 'gap'"),
        "two Dense": (
            [gap(tf), layers.Dense(4), layers.Dense(2)],
            "expected a global average pooling layer, got Dense.*other heads a gradient method",
        ),
        "relu readout": ([gap(tf), layers.Dense(2, activation="relu")], "expected one activation of .*, got relu"),
        "two activations": (
            [gap(tf), layers.Dense(2, activation="softmax"), layers.Activation("sigmoid")],
            "got softmax and sigmoid",
        ),
        "max pooling": ([layers.GlobalMaxPooling2D(), layers.Dense(2)], "got GlobalMaxPooling2D"),
        "Dense on another axis": ([gap(tf), layers.Reshape((5, 1)), layers.Dense(2)], "Put a Flatten layer before it"),
        "normalized probabilities": (
            [gap(tf), layers.Dense(2, activation="softmax"), layers.BatchNormalization()],
            "got softmax and BatchNormalization",
        ),
        "a window smaller than the map": (
            [layers.AveragePooling2D((8, 3)), layers.Flatten(), layers.Dense(2)],
            "expected a global average pooling layer, got AveragePooling2D",
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "no readout",
        "two Dense",
        "relu readout",
        "two activations",
        "max pooling",
        "Dense on another axis",
        "normalized probabilities",
        "a window smaller than the map",
    ],
)
def test_other_heads_are_refused(tf, make_model, name):
    tail, message = other_heads(tf)[name]
    with pytest.raises(HeadError, match=message):
        find_head(make_model(*tail))


def test_channels_first(tf):
    inputs = tf.keras.Input((3, 4, 5))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(gap(tf, data_format="channels_first")(inputs)))
    head = find_head(model)
    assert (head.n_channels, head.map_shape, head.input_shape) == (3, (4, 5), (3, 4, 5))


def test_several_inputs_are_refused(tf):
    inputs = [tf.keras.Input((4, 4, 3)) for _ in "ab"]
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(gap(tf)(tf.keras.layers.Add()(inputs))))
    with pytest.raises(HeadError, match="2 inputs and 1 outputs"):
        find_head(model)


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


def affine_layers(tf):
    """Layers that multiply channels and add offsets, by name; four channels."""
    layers = tf.keras.layers
    rng = np.random.default_rng(5)

    def batch_norm(x, axis=-1):
        layer = layers.BatchNormalization(axis=axis)
        y = layer(x)
        layer.set_weights([rng.uniform(0.5, 2, weights.shape) for weights in layer.get_weights()])
        return y

    normalization = layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2, 3, 4])
    return {
        "rescaling": layers.Rescaling(0.5, 0.2),
        "negative": layers.Rescaling(-1.0),
        "by channel": layers.Rescaling([1.0, -2, 3, 4], [0.0, 1, 2, 3]),
        "normalization": normalization,
        "operator": lambda x: 2 * x + 1,
        "batch norm": batch_norm,
        "batch norm, then nothing": lambda x: layers.AveragePooling2D(1)(batch_norm(x)),
        "batch norm of rows": lambda x: batch_norm(x, axis=1),
        "two, dropout between": lambda x: layers.Rescaling(3.0)(layers.Dropout(0.5)(batch_norm(x))),
        "before a reshape": lambda x: layers.Reshape((4, 6, 4))(layers.Rescaling(0.5)(x)),
        "of other channels": lambda x: layers.Reshape((8, 6, 2))(batch_norm(x)),
    }


NAMES = list(affine_layers(ncam.compat.import_tensorflow()))


@pytest.mark.parametrize(
    ("place", "name"),
    [("before", name) for name in NAMES]
    + [(place, name) for place in ("between", "after") for name in ("by channel", "normalization", "batch norm")],
)
def test_factors_around_the_pooling_count_once(tf, name, place):
    """Maps of the CNN, of the rate network and after calibration, beside an einsum of what Keras pools."""
    layers, layer = tf.keras.layers, affine_layers(tf)[name]
    tf.keras.utils.set_random_seed(0)
    x = inputs = tf.keras.Input((8, 6, 2))
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer="random_normal", name="conv")(x)
    features = x = layer(x) if place == "before" else x
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layer(x) if place == "between" else x
    x = layers.Dense(4, bias_initializer="random_normal", name="readout")(x)
    x = layer(x) if place == "after" else x
    model, probe = tf.keras.Model(inputs, x), tf.keras.Model(inputs, features)
    images = np.random.default_rng(1).random((5, 8, 6, 2), dtype=np.float32)
    pooled, logits = probe(images).numpy().astype(float), model(images).numpy()
    # What is linear behind the pooling, found by trying: a readout of each channel by itself.
    behind = tf.keras.Model(model.get_layer("gap").output, model.output)
    offset = behind(np.zeros((1, pooled.shape[-1]), np.float32)).numpy()
    kernel = behind(np.eye(pooled.shape[-1], dtype=np.float32)).numpy() - offset
    expected = np.einsum("nyxk,kl->nlyx", pooled, kernel) + offset[0][:, None, None]
    for source in (model, ncam.convert(model, neurons=None), ncam.convert(model, calibrate_on=images)):
        rate = ncam.rate_cam(source, images)
        got = rate.cam + rate.bias
        np.testing.assert_allclose(rate.logits, logits, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got.mean(("y", "x")), logits, rtol=1e-4, atol=1e-5)
        # By position in the order of memory: what is pooled may be a reshaped map.
        np.testing.assert_allclose(got.values.reshape(5, 4, -1), expected.reshape(5, 4, -1), rtol=1e-4, atol=1e-5)
    assert max(dataclasses.astuple(source.verify(images))[:5]) < 1e-4
    if name not in ("batch norm of rows", "of other channels"):
        assert find_head(model).features == "conv"
    spikes = ncam.spiking_cam(ncam.convert(model, neurons=None), images, n_steps=1, seed=0, progress_bar=False)
    np.testing.assert_allclose((spikes.cam + spikes.bias)[:, 0].values.ravel(), expected.ravel(), rtol=1e-4, atol=1e-4)
