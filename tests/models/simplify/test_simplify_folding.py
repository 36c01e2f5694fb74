import numpy as np
import pytest

import nengo_cam as ncam

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers
norm = layers.BatchNormalization


class Conv2D(layers.Conv2D):
    """A layer of the user's own that looks like one of Keras's, but is not linear."""

    def call(self, inputs):
        return super().call(inputs) ** 2


def chain(*sequence):
    """Call layers one after the other; functions make them when they are called."""

    def build(x):
        for layer in sequence:
            x = (layer if isinstance(layer, layers.Layer) else layer())(x)
        return x

    return build


def conv(filters=4, size=3, **options):
    return lambda: layers.Conv2D(filters, size, **{"name": "conv", **options})


def relu():
    return layers.ReLU(name="relu")


BACKWARD = {
    "convolution": [conv(), norm],
    "without bias": [conv(use_bias=False), norm],
    "without scale": [conv(), lambda: norm(scale=False)],
    "without center": [conv(use_bias=False), lambda: norm(center=False)],
    "same padding": [conv(padding="same", strides=2), norm],
    "groups": [conv(6, groups=3), norm],
    "past Dropout": [conv(), lambda: layers.Dropout(0.5), lambda: layers.Activation("linear"), norm],
    "twice": [conv(), norm, norm],
    "dense": [lambda: layers.Dense(4, name="conv"), norm],
    "depthwise": [lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="conv"), norm],
    "depthwise without bias": [lambda: layers.DepthwiseConv2D(3, use_bias=False, padding="same", name="conv"), norm],
    "transposed": [lambda: layers.Conv2DTranspose(4, 3, strides=2, name="conv"), norm],
    "1-D": [lambda: layers.Reshape((72, 3)), lambda: layers.Conv1D(4, 3, name="conv"), norm],
    "1-D depthwise": [lambda: layers.Reshape((72, 3)), lambda: layers.DepthwiseConv1D(3, name="conv"), norm],
    "1-D transposed": [lambda: layers.Reshape((72, 3)), lambda: layers.Conv1DTranspose(4, 3, name="conv"), norm],
    "3-D": [lambda: layers.Reshape((9, 4, 2, 3)), lambda: layers.Conv3D(4, 2, name="conv"), norm],
    "3-D transposed": [lambda: layers.Reshape((9, 4, 2, 3)), lambda: layers.Conv3DTranspose(4, 2, name="conv"), norm],
    "dilated": [conv(dilation_rate=2), norm],
    "rescaling": [conv(), lambda: layers.Rescaling([1, 2, 3, 4.0], 0.5)],
    "operators": [conv(), lambda: lambda x: (x - 0.5) / np.array([1, 2, 3, 4], np.float32)],
}


@pytest.mark.parametrize("name", BACKWARD)
def test_what_comes_after_is_folded(reduced, kinds, name):
    # A ReLU at the end: what is pooled keeps its layer.
    reduction = reduced(chain(*BACKWARD[name], relu))
    assert not {"BatchNormalization", "Rescaling"} & set(kinds(reduction))
    assert reduction.model.get_layer("conv").use_bias
    assert [fate.words for fate in reduction.fates].count("folded into 'conv'") >= 1
    assert [layer.name for layer in reduction.model.layers[-3:]] == ["relu", "gap", "readout"]


FORWARD = {
    "convolution": [relu, norm, conv()],
    "strides": [relu, norm, conv(strides=2, activation="relu")],
    "without bias": [relu, norm, conv(use_bias=False)],
    "one position": [relu, norm, conv(size=1, padding="same", strides=2)],
    "groups": [relu, norm, conv(6, groups=3)],
    "dense": [relu, norm, lambda: layers.Dense(4, activation="relu", name="conv")],
    "depthwise": [relu, norm, lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, name="conv")],
    "separable": [relu, norm, lambda: layers.SeparableConv2D(4, 3, name="conv")],
    "1-D": [lambda: layers.Reshape((72, 3)), relu, norm, lambda: layers.Conv1D(4, 3, name="conv")],
    "3-D": [lambda: layers.Reshape((9, 4, 2, 3)), relu, norm, lambda: layers.Conv3D(4, 2, name="conv")],
    "rescaling at the input": [lambda: layers.Rescaling(1 / 127.5, -1), conv()],
    "factor with padding": [lambda: layers.Rescaling([0.5, 2.0, -1]), conv(padding="same")],
    "two of them": [lambda: layers.Rescaling(1 / 255), norm, norm, conv(dilation_rate=2)],
}


@pytest.mark.parametrize("name", FORWARD)
def test_what_comes_before_is_folded(reduced, kinds, name):
    reduction = reduced(chain(*FORWARD[name]))
    assert not {"BatchNormalization", "Rescaling"} & set(kinds(reduction))


def branching(x):
    x = layers.Conv2D(3, 3, padding="same")(x)
    return layers.Add()([x, layers.ReLU()(norm()(x))])


def two_readers(x):
    x = norm()(layers.ReLU()(x))
    return layers.Add()([layers.Conv2D(4, 3)(x), layers.Conv2D(4, 3, activation="relu")(x)])


def shared_convolution(x):
    shared = layers.Conv2D(3, 3, padding="same")
    return layers.ReLU()(norm()(shared(layers.ReLU()(norm()(shared(x))))))


def shared_convolution_behind(x):
    shared, x = layers.Conv2D(3, 3), layers.ReLU()(x)
    return layers.Add()([shared(norm()(x)), shared(x)])


NOT_FOLDED = {
    "activation": (chain(conv(activation="relu"), norm, relu), 1),
    "a branch before": (branching, 1),
    "a branch after": (two_readers, 1),
    "padding with an offset": (chain(relu, norm, conv(padding="same")), 1),
    "padding by a layer": (chain(relu, norm, lambda: layers.ZeroPadding2D(1), conv()), 1),
    "shared convolution": (shared_convolution, 2),
    "shared convolution behind": (shared_convolution_behind, 1),
    "rows": (chain(conv(), lambda: norm(axis=1), relu), 1),
    "own layer": (chain(lambda: Conv2D(4, 3), norm, relu), 1),
    "own layer behind": (chain(relu, norm, lambda: Conv2D(4, 3)), 1),
    "transposed behind": (chain(relu, norm, lambda: layers.Conv2DTranspose(4, 3)), 1),
    "pooling between": (chain(conv(), lambda: layers.MaxPooling2D(2), norm, relu), 1),
}


@pytest.mark.parametrize("name", NOT_FOLDED)
def test_what_would_change_is_not_folded(reduced, kinds, name):
    build, n_left = NOT_FOLDED[name]
    assert kinds(reduced(build)).count("BatchNormalization") == n_left


def test_one_normalization_in_two_places(reduced, kinds):
    """It is folded where it can be, and stays where it cannot."""

    def build(x):
        shared = norm(name="norm")
        x = layers.ReLU()(shared(layers.Conv2D(3, 3, name="conv")(x)))
        return layers.ReLU()(shared(layers.MaxPooling2D(2)(x)))

    reduction = reduced(build)
    assert kinds(reduction) == ["Conv2D", "ReLU", "MaxPooling2D", "BatchNormalization", "ReLU"]
    assert [fate.words for fate in reduction.fates][:5] == ["", "folded into 'conv'", "", "", ""]


def test_a_layer_that_the_head_calls_too_is_left_alone(tf, images):
    """Folding would change the readout."""
    inputs = tf.keras.Input((8, 6, 2))
    readout = tf.keras.layers.Dense(2, name="readout")
    x = layers.Conv2D(2, 3, name="conv")(layers.ReLU()(norm()(readout(inputs))))
    model = tf.keras.Model(inputs, readout(layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, values.shape) for values in model.get_weights()])
    reduced = ncam.inference_model(model)
    assert len(reduced.get_layer("readout").inbound_nodes) == 2
    np.testing.assert_allclose(reduced(images), model(images), rtol=1e-5)


def test_weights_are_those_of_the_equations(reduced, with_head):
    """One position: w' = s w, b' = s b + t."""
    build = chain(conv(size=1), lambda: norm(name="norm", epsilon=0.02), relu)
    source, reduction = with_head(build), reduced(build)
    kernel, bias = source.get_layer("conv").get_weights()
    gamma, beta, mean, variance = source.get_layer("norm").get_weights()
    scale = gamma / np.sqrt(variance + 0.02)
    new_kernel, new_bias = reduction.model.get_layer("conv").get_weights()
    np.testing.assert_allclose(new_kernel, kernel * scale, rtol=1e-5)
    np.testing.assert_allclose(new_bias, scale * (bias - mean) + beta, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(source.get_layer("conv").get_weights()[0], kernel)
