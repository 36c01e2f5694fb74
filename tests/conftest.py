"""Small models and images that many tests share."""

import os

import numpy as np
import pytest

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()
# Headless: figures are rendered, never shown.
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def tf():
    return ncam.compat.import_tensorflow()


@pytest.fixture(scope="session")
def make_model(tf):
    """Build a small CNN with random weights, all of them (biases and BatchNorm statistics too) away from zero."""

    def make(*tail, shape=(8, 6, 2), channels=(4, 5), seed=0, use_bias=True, n_labels=3, activation="softmax"):
        layers = tf.keras.layers
        tf.keras.utils.set_random_seed(seed)
        x = inputs = tf.keras.Input(shape, name="image")
        for i, n in enumerate(channels):
            x = layers.Conv2D(n, 3, padding="same", activation="relu", use_bias=use_bias, name=f"conv{i}")(x)
        if not tail:
            tail = (
                layers.GlobalAveragePooling2D(name="gap"),
                layers.Dense(n_labels, activation=activation, use_bias=use_bias, name="readout"),
            )
        for layer in tail:
            x = layer(x)
        return randomized(tf.keras.Model(inputs, x, name="small"), seed)

    return make


def randomized(model, seed=0):
    """Give biases and BatchNorm statistics values that a test can see."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = layer.get_weights()
        layer.set_weights([v if v.ndim > 1 else rng.uniform(0.05, 0.3, v.shape) for v in values])
    return model


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(1).random((5, 8, 6, 2), dtype=np.float32)


@pytest.fixture(scope="session")
def small_model(make_model):
    return make_model()


@pytest.fixture(scope="session")
def digits_model():
    return ncam.datasets.digits_model()


@pytest.fixture(scope="session")
def digits():
    return ncam.datasets.digits()


@pytest.fixture(scope="session")
def drift():
    """A learning rule of a user's own, which Nengo is told of once."""
    import nengo
    from nengo.builder import Builder
    from nengo.builder.operator import Operator

    class Drift(nengo.learning_rules.LearningRuleType):
        """A rule of a user's own: weights grow by a share at each step."""

        modifies = "weights"
        probeable = ("delta",)

        def __init__(self):
            super().__init__(learning_rate=0.1, size_in=0)

    class SimDrift(Operator):
        def __init__(self, weights, delta, rate):
            super().__init__()
            self.sets, self.incs, self.reads, self.updates, self.rate = [], [], [weights], [delta], rate

        def make_step(self, signals, dt, rng):
            weights, delta = signals[self.reads[0]], signals[self.updates[0]]

            def step():
                delta[...] = self.rate * weights

            return step

    @Builder.register(Drift)
    def build_drift(model, drift, rule):
        weights, delta = model.sig[rule.connection]["weights"], model.sig[rule]["delta"]
        model.add_op(SimDrift(weights, delta, drift.learning_rate))

    return Drift
