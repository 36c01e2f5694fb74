import itertools

import numpy as np
import pytest

import nengo_cam as ncam

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


def names(reduction):
    return [layer.name for layer in reduction.model.layers[1:-2]]


@pytest.mark.parametrize(
    "layer",
    [
        layers.SeparableConv2D(4, 3, name="whole"),
        layers.SeparableConv2D(4, (2, 3), strides=2, padding="same", depth_multiplier=2, name="whole"),
        layers.SeparableConv2D(4, 3, dilation_rate=2, use_bias=False, activation="relu", name="whole"),
    ],
    ids=["plain", "strides", "dilated"],
)
def test_separable_convolutions_become_their_halves(reduced, kinds, layer):
    reduction = reduced(lambda x: type(layer).from_config(layer.get_config())(x))
    assert kinds(reduction) == ["DepthwiseConv2D", "Conv2D"]
    assert names(reduction) == ["whole_depthwise", "whole"]
    assert reduction.model.get_layer("whole").activation is layer.activation
    assert reduction.fates[0].words == "split into 'whole_depthwise' and 'whole'"


@pytest.mark.parametrize(
    "options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 3, "depth_multiplier": 2}]
)
def test_separable_convolutions_of_one_axis(reduced, kinds, options):
    reduction = reduced(lambda x: layers.SeparableConv1D(4, 3, **options)(x), shape=(20, 3))
    assert kinds(reduction) == ["DepthwiseConv1D", "Conv1D"]


def test_a_shared_separable_convolution_has_shared_halves(reduced, kinds):
    shared = layers.SeparableConv2D(3, 3, padding="same", name="shared")
    reduction = reduced(lambda x: shared(layers.ReLU()(shared(x))))
    assert kinds(reduction) == ["DepthwiseConv2D", "Conv2D", "ReLU"]
    assert len(reduction.model.get_layer("shared_depthwise").inbound_nodes) == 2


def test_names_of_parts_do_not_clash(reduced):
    def build(x):
        return layers.SeparableConv2D(3, 3, name="a")(layers.Conv2D(3, 1, name="a_depthwise", activation="relu")(x))

    assert names(reduced(build)) == ["a_depthwise", "a_depthwise_1", "a"]


SIZES_RATES_PADDINGS = list(itertools.product((1, 2, 3, 4), (2, 3), ("valid", "same")))


@pytest.mark.parametrize(("size", "rate", "padding"), SIZES_RATES_PADDINGS)
def test_dilation_becomes_zeros_between_taps(reduced, size, rate, padding):
    def build(x):
        x = layers.Conv2D(4, (size, 2), dilation_rate=(rate, 1), padding=padding, name="conv")(x)
        return layers.DepthwiseConv2D((size, 1), dilation_rate=rate, padding="same", name="depthwise")(x)

    reduction = reduced(build, shape=(14, 8, 3))
    assert reduction.model.get_layer("conv").kernel_size == ((size - 1) * rate + 1, 2)
    assert reduction.model.get_layer("conv").dilation_rate == (1, 1)
    assert reduction.model.get_layer("depthwise").dilation_rate == (1, 1)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_dilation_along_one_axis(reduced, padding):
    reduction = reduced(
        lambda x: layers.Conv1D(4, 3, dilation_rate=2, padding=padding, activation="relu", name="conv")(x), (20, 3)
    )
    conv = reduction.model.get_layer("conv")
    assert (conv.kernel_size, conv.dilation_rate) == ((5,), (1,))
    assert conv.padding == {"causal": "valid"}.get(padding, padding)


def test_dilation_along_three_axes(reduced):
    reduction = reduced(lambda x: layers.Conv3D(2, 2, dilation_rate=(1, 2, 3), name="conv")(x), (4, 5, 6, 2))
    assert reduction.model.get_layer("conv").kernel_size == (2, 3, 4)


def test_causal_convolutions_get_zeros_in_front(reduced, kinds):
    shared = layers.Conv1D(3, 4, padding="causal", activation="relu", name="conv")
    reduction = reduced(lambda x: shared(shared(x)), shape=(20, 3))
    assert kinds(reduction) == ["ZeroPadding1D", "Conv1D"]
    assert reduction.model.get_layer("conv_padding").padding == (3, 0)


def test_differences_become_sums(reduced, kinds):
    def build(x):
        x, y = layers.Conv2D(4, 3, name="first")(x), layers.Conv2D(4, 3, name="second")(x)
        x = layers.ReLU(name="relu")(layers.Subtract(name="difference")([x, y]))
        return x - layers.ReLU()(layers.Conv2D(4, 1)(x))

    reduction = reduced(build)
    # The sign of a convolution goes into its kernel, that of a ReLU cannot.
    assert sorted(kinds(reduction)) == [
        "Add",
        "Add",
        "BatchNormalization",
        "Conv2D",
        "Conv2D",
        "Conv2D",
        "ReLU",
        "ReLU",
    ]
    assert type(reduction.model.get_layer("difference")).__name__ == "Add"


def test_differences_with_broadcasting_are_left_alone(reduced, kinds):
    reduction = reduced(lambda x: layers.Subtract()([x, layers.Conv2D(1, 1)(x)]))
    assert "Subtract" in kinds(reduction)


IDENTITIES = {
    "activation": layers.Activation("linear"),
    "padding": layers.ZeroPadding2D(0),
    "cropping": layers.Cropping2D(0),
    "upsampling": layers.UpSampling2D(1),
    "average": layers.AveragePooling2D(1),
    "maximum": layers.MaxPooling2D(1),
    "permutation": layers.Permute((1, 2, 3)),
    "reshape": layers.Reshape((-1, 8, 3)),
    "rescaling": layers.Rescaling(1.0),
    "normalization": layers.Normalization(mean=0.0, variance=1.0),
    "dropout": layers.SpatialDropout2D(0.3),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_what_changes_nothing_is_left_out(reduced, kinds, name):
    layer = IDENTITIES[name]
    reduction = reduced(lambda x: layers.Conv2D(3, 3, activation="relu")(layer(x)))
    assert kinds(reduction) == ["Conv2D"]
    assert reduction.fates[0].words.startswith("left out: ")


SIMILAR = {
    "padding": lambda: layers.ZeroPadding2D(((0, 0), (1, 0))),
    "cropping": lambda: layers.Cropping2D(((0, 0), (0, 1))),
    "upsampling": lambda: layers.UpSampling2D((1, 2)),
    "average": lambda: layers.AveragePooling2D(2, strides=1, padding="same"),
    "subsampling": lambda: layers.MaxPooling2D(1, strides=2),
    "permutation": lambda: layers.Permute((2, 1, 3)),
    "activation": lambda: layers.Activation("tanh"),
    "function": lambda: layers.Lambda(lambda x: x),
}


@pytest.mark.parametrize("name", SIMILAR)
def test_what_changes_something_is_not_left_out(reduced, kinds, name):
    # Square, so that a permutation keeps the shape.
    reduction = reduced(lambda x: layers.Conv2D(3, 3, activation="relu")(SIMILAR[name]()(x)), (8, 8, 3))
    assert len(kinds(reduction)) == 2


def test_layers_of_ones_own_are_left_alone(reduced, kinds):
    class SeparableConv2D(layers.SeparableConv2D):
        def call(self, inputs):
            return super().call(inputs) + 1

    assert kinds(reduced(lambda x: SeparableConv2D(3, 3)(x))) == ["SeparableConv2D"]


def test_the_gap_is_no_identity(reduced):
    """Even on a single position."""
    reduction = reduced(lambda x: layers.Conv2D(4, 3)(x), shape=(3, 3, 2))
    assert np.shape(reduction.model.get_layer("gap").input)[1:] == (1, 1, 4)
