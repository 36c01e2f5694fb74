import numpy as np
import pytest

from nengo_cam import find_head, inference_model
from nengo_cam.exceptions import HeadError, UnsupportedModelError
from nengo_cam.models.simplify import rectified_layers

from_logits = {
    "linear": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True),
}


@pytest.mark.parametrize("activation", sorted(from_logits))
def test_logits_give_the_models_output(make_model, images, activation):
    model = make_model(activation=activation)
    logits = inference_model(model).predict(images, verbose=0)
    np.testing.assert_allclose(from_logits[activation](logits), model.predict(images, verbose=0), rtol=1e-5)


def test_training_only_layers_and_options_are_gone(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(
        layers.GaussianNoise(0.3),
        layers.BatchNormalization(name="norm", beta_regularizer="l2"),
        layers.SpatialDropout2D(0.3),
        layers.MaxPooling2D(1, strides=2),
        layers.Conv2D(4, 1, kernel_regularizer="l2", kernel_constraint="non_neg", name="reg"),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.5),
        layers.Activation("linear"),
        layers.Dense(3, name="readout"),
        layers.Activation("softmax"),
    )
    simple = inference_model(model)
    kinds = [type(layer).__name__ for layer in simple.layers]
    assert kinds == [
        "InputLayer",
        "Conv2D",
        "Conv2D",
        "BatchNormalization",
        "MaxPooling2D",
        "Conv2D",
        "GlobalAveragePooling2D",
        "Dense",
    ]
    assert simple.get_layer("reg").kernel_regularizer is None
    assert simple.get_layer("reg").kernel_constraint is None
    assert not simple.get_layer("norm").trainable
    assert model.get_layer("norm").trainable
    logits = simple.predict(images, verbose=0)
    np.testing.assert_allclose(from_logits["softmax"](logits), model.predict(images, verbose=0), rtol=1e-5)


def test_nested_and_branching_models(tf, make_model, images):
    inner = make_model(tf.keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="top"), seed=3)
    x = inputs = tf.keras.Input((8, 6, 2))
    x = inner(x)
    x = tf.keras.layers.Add()([x, tf.keras.layers.Conv2D(5, 1, name="short")(inputs)])
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="readout")(x))
    simple = inference_model(model)
    assert [layer.name for layer in simple.layers if "conv" in layer.name or layer.name in ("top", "short")]
    assert not any(isinstance(layer, tf.keras.Model) for layer in simple.layers)
    np.testing.assert_allclose(
        simple.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5, atol=1e-6
    )


def test_shared_layers_stay_shared(tf, images):
    conv = tf.keras.layers.Conv2D(2, 3, padding="same", activation="relu", name="shared")
    inputs = tf.keras.Input((8, 6, 2))
    x = tf.keras.layers.GlobalAveragePooling2D()(conv(conv(inputs)))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(x))
    simple = inference_model(model)
    assert len(simple.get_layer("shared").inbound_nodes) == 2
    np.testing.assert_allclose(simple.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5)


def test_the_source_is_a_different_object(small_model, images):
    before = small_model.predict(images, verbose=0)
    simple = inference_model(small_model)
    simple.get_layer("readout").set_weights([w * 0 for w in simple.get_layer("readout").get_weights()])
    np.testing.assert_array_equal(small_model.predict(images, verbose=0), before)


def test_heads_agree(make_model):
    model = make_model()
    assert find_head(inference_model(model)).kernel.tolist() == find_head(model).kernel.tolist()


def test_dropout_at_inference_is_refused(tf, make_model):
    base = make_model()
    x = tf.keras.layers.Dropout(0.5, name="bayes")(base.get_layer("conv1").output, training=True)
    x = tf.keras.layers.Dense(2)(tf.keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(UnsupportedModelError, match="'bayes' is called with training=True"):
        inference_model(tf.keras.Model(base.input, x))


def test_layers_without_configuration_are_refused(tf, make_model):
    class Scale(tf.keras.layers.Layer):
        def __init__(self, factor):
            super().__init__(name="mine")
            self.factor = factor

        def call(self, x):
            return x * self.factor

    tail = (Scale(2.0), tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(2))
    with pytest.raises(UnsupportedModelError, match="Scale layer 'mine' cannot be made again"):
        inference_model(make_model(*tail))


def test_a_model_without_head_is_refused(tf):
    inputs = tf.keras.Input((3,))
    with pytest.raises(HeadError):
        inference_model(tf.keras.Model(inputs, tf.keras.layers.Dense(2)(inputs)))


def test_rectified_layers(tf, make_model):
    layers = tf.keras.layers
    model = make_model(
        layers.Conv2D(2, 1, activation=tf.nn.relu, name="tf_relu"),
        layers.ReLU(name="plain"),
        layers.ReLU(6.0, name="clipped"),
        layers.Activation(tf.nn.relu6, name="relu6"),
        layers.ReLU(6.0, negative_slope=0.1, name="leaky"),
        layers.ReLU(6.0, threshold=0.1, name="threshold"),
        layers.ReLU(0.0, name="zero"),
        layers.Activation("relu", name="activation"),
        layers.Conv2D(2, 1, activation="sigmoid", name="sigmoid"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    names = [layer.name for layer in rectified_layers(inference_model(model))]
    assert names == ["conv0", "conv1", "tf_relu", "plain", "clipped", "relu6", "activation"]


def test_layers_without_weights_are_not_shared(tf, images):
    """One ReLU in two places has two scales; one pooling in two places has a head of its own."""
    layers = tf.keras.layers
    relu, pool = layers.ReLU(name="relu"), layers.GlobalAveragePooling2D(name="pool")
    inputs = tf.keras.Input((8, 6, 2))
    x = relu(layers.Conv2D(3, 1)(inputs))
    gate = layers.UpSampling2D((8, 6))(layers.Reshape((1, 1, 3))(layers.Dense(3)(pool(x))))
    x = relu(layers.Conv2D(3, 3, padding="same")(layers.Add()([x, gate])))
    model = tf.keras.Model(inputs, layers.Dense(2)(pool(x)))
    simple = inference_model(model)
    assert [layer.name for layer in rectified_layers(simple)] == ["relu", "relu_1"]
    assert find_head(simple).pooling == "pool_1"
    np.testing.assert_allclose(
        simple.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-4, atol=1e-6
    )


def test_augmentation_is_left_out(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(layers.RandomFlip(), layers.GlobalAveragePooling2D(), layers.Dense(2))
    assert "RandomFlip" not in {type(layer).__name__ for layer in inference_model(model).layers}


def test_batch_statistics_at_inference_are_refused(tf, make_model):
    """Also if a nested model is called that way."""
    base = make_model(tf.keras.layers.BatchNormalization(name="norm"))
    inputs = tf.keras.Input((8, 6, 2))
    x = tf.keras.layers.GlobalAveragePooling2D()(base(inputs, training=True))
    with pytest.raises(UnsupportedModelError, match="BatchNormalization 'norm' is called with training=True"):
        inference_model(tf.keras.Model(inputs, tf.keras.layers.Dense(2)(x)))


def test_a_nested_model_called_with_training_false_is_fine(tf, make_model, images):
    base = make_model(tf.keras.layers.BatchNormalization())
    inputs = tf.keras.Input((8, 6, 2))
    x = tf.keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(x))
    np.testing.assert_allclose(
        inference_model(model).predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-4, atol=1e-6
    )


def test_weights_that_are_not_finite_are_refused(make_model):
    model = make_model()
    layer = model.get_layer("conv1")
    layer.set_weights([w * np.nan for w in layer.get_weights()])
    with pytest.raises(UnsupportedModelError, match="the weights of 'conv1' are not finite"):
        inference_model(model)
