"""Networks with random weights, reduced and compared with what Keras gives."""

import numpy as np
import pytest

from nengo_cam.models.simplify import reduce_model


def _assert_close(got, expected, tolerance=1e-5):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def _randomize(model, seed=0):
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if type(layer).__name__ == "Normalization":
            continue
        values = []
        for variable in layer.weights:
            is_positive, shape = any(name in variable.name for name in ("variance", "gamma")), variable.shape
            # Kernels such that activity neither grows nor fades with depth.
            spread = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.3
            values.append(rng.uniform(0.5, 1.5, shape) if is_positive else rng.normal(0, spread, shape))
        layer.set_weights(values)
    return model


@pytest.fixture(scope="session")
def assert_close():
    """Compare within a fraction of the largest."""
    return _assert_close


@pytest.fixture(scope="session")
def randomized():
    """Give all weights of a model values that a test can see, statistics and biases too."""
    return _randomize


@pytest.fixture(scope="session")
def with_head(tf):
    """Put a GAP head with three labels behind some layers."""

    def with_head(build, shape=(9, 8, 3), seed=0):
        inputs = tf.keras.Input(shape, name="image")
        x = build(inputs)
        pooling = getattr(tf.keras.layers, f"GlobalAveragePooling{len(x.shape) - 2}D")
        logits = tf.keras.layers.Dense(3, name="readout")(pooling(name="gap")(x))
        return _randomize(tf.keras.Model(inputs, logits, name="net"), seed)

    return with_head


@pytest.fixture(scope="session")
def reduced(tf, with_head):
    """Reduce such a model, check that features and logits stay, and return the `Reduction`."""

    def reduced(build, shape=(9, 8, 3), seed=0):
        model = with_head(build, shape, seed)
        reduction = reduce_model(model)
        images = np.random.default_rng(1).normal(0, 1, (3, *shape)).astype(np.float32)
        expected, got = (
            tf.keras.Model(net.input, [net.get_layer("gap").input, net.output])(images)
            for net in (model, reduction.model)
        )
        for values, reference in zip(got, expected):
            assert np.ptp(reference) > 0
            _assert_close(values.numpy(), reference.numpy())
        assert reduction.largest_difference < 1e-5
        return reduction

    return reduced


@pytest.fixture(scope="session")
def kinds():
    """List the classes of a reduced model's layers between input and head."""
    return lambda reduction: [type(layer).__name__ for layer in reduction.model.layers[1:-2]]
