import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam import inference_model
from nengo_cam.exceptions import UnsupportedModelError
from nengo_cam.simplify.affine import Affine, affine_of

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
        layers.Rescaling(np.ones((4, 1))),
        layers.BatchNormalization(axis=1),
        layers.Normalization(axis=(1, 2), mean=np.ones((4, 3)), variance=np.ones((4, 3))),
    ]
    for layer in others:
        layer(x)
        assert affine_of(layer, x.shape) is None


def test_two_in_a_row_and_back(x):
    first, second = Affine.of([1, 2, 3], 1, 3), Affine.of(0.5, [0, 1, -1], 3)
    np.testing.assert_allclose(first.then(second)(x), second(first(x)))
    np.testing.assert_allclose(first.inverse(first(x)), x, atol=1e-12)
    np.testing.assert_array_equal(Affine.of(0, 1, 3).inverse(x), 0)


def test_images_stay_as_they_were_fed(reduced, kinds):
    """Preprocessing with an offset stands before zero padding, natively."""

    def build(x):
        x = layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 5, 6])(layers.Rescaling(1 / 127.5, -1, name="in")(x))
        return layers.Conv2D(4, 3, padding="same", activation="relu")(x)

    reduction = reduced(build)
    assert kinds(reduction) == ["BatchNormalization", "Conv2D"]
    assert [fate.words for fate in reduction.rewriting.fates][:2] == [
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
