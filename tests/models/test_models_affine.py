import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.models.affine import Affine, affine_of

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(0, 1, (5, 4, 3)).astype(np.float32)


def adapted(x, **options):
    layer = layers.Normalization(**options)
    layer.adapt(3 * x + np.array([0, 5, 10], np.float32))
    return layer


def statistics(**options):
    layer = layers.BatchNormalization(epsilon=0.1, **options)
    layer.build((None, 4, 3))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.5, 1.5, values.shape) for values in layer.get_weights()])
    return layer


LAYERS = {
    "norm": lambda x: statistics(),
    "norm without scale": lambda x: statistics(scale=False),
    "norm without center": lambda x: statistics(center=False),
    "normalization of channels": adapted,
    "normalization of all": lambda x: adapted(x, axis=None),
    "normalization by hand": lambda x: layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 0]),
    "rescaling": lambda x: layers.Rescaling(1 / 127.5, -1),
    "rescaling of channels": lambda x: layers.Rescaling([1.0, 2, 3], [0, 0, 1.0]),
    "rescaling by arrays": lambda x: layers.Rescaling(np.ones((1, 1, 3)), 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_factors_and_offsets_are_what_the_layer_does(x, name):
    layer = LAYERS[name](x)
    expected = layer(x).numpy()
    affine = affine_of(layer, x.shape)
    np.testing.assert_allclose(affine(x), expected, rtol=1e-4, atol=1e-5)
    # As NengoDL is to have them.
    config, weights = affine.normalization("same")
    copy = layers.BatchNormalization.from_config(config)
    copy.build(x.shape)
    copy.set_weights(weights)
    np.testing.assert_allclose(copy(x), expected, rtol=1e-4, atol=1e-5)


def test_other_layers_have_none(x):
    class Rescaling(layers.Rescaling):
        def call(self, inputs):
            return super().call(inputs) ** 2

    others = [
        layers.ReLU(),
        Rescaling(2.0),
        layers.Rescaling(np.arange(4.0)[:, None]),
        layers.BatchNormalization(axis=1, gamma_initializer="random_normal"),
        layers.Normalization(axis=(1, 2), mean=np.arange(12.0).reshape(4, 3), variance=np.ones((4, 3))),
    ]
    for layer in others:
        layer(x)
        assert affine_of(layer, x.shape) is None


def test_two_in_a_row_and_back(x):
    first, second = Affine.of([1, 2, 3], 1, 3), Affine.of(0.5, [0, 1, -1], 3)
    np.testing.assert_allclose(first.then(second)(x), second(first(x)))
    np.testing.assert_allclose(first.inverse(first(x)), x, atol=1e-12)
    np.testing.assert_array_equal(Affine.of(0, 1, 3).inverse(x), 0)


def test_channels_on_another_axis(x):
    """Numbers that are the same at all positions of a channel, wherever the layer keeps them."""
    layer = layers.BatchNormalization(axis=1)
    layer.build(x.shape)
    rng = np.random.default_rng(3)
    layer.set_weights([rng.uniform(0.5, 2, weights.shape) for weights in layer.get_weights()])
    affine = affine_of(layer, x.shape, channel_axis=1)
    expected = layer(x).numpy()
    np.testing.assert_allclose(affine.scale[:, None] * x + affine.shift[:, None], expected, rtol=1e-4, atol=1e-5)
    assert affine_of(layers.Rescaling(2.0, 1.0), x.shape, channel_axis=1).scale.tolist() == [2.0] * x.shape[1]
    assert affine_of(layers.Rescaling(np.arange(3.0)), x.shape, channel_axis=1) is None
    # One number for each position, all of them the same.
    same = affine_of(layers.Rescaling(np.full((4, 1), 3.0)), x.shape)
    np.testing.assert_array_equal(same.scale, [3.0] * 3)
