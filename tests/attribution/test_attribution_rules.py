"""Rules on measured activity, beside slow loops over units in double precision that follow the published formulas."""

import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.attribution.composites import Composite
from nengo_cam.attribution.relevance import explain_relevance
from nengo_cam.attribution.rules import AlphaBeta, Epsilon, Flat, Gamma, Kernel, WSquare, ZBox, ZPlus
from nengo_cam.exceptions import ParameterError
from nengo_cam.models.replay import Replay
from nengo_cam.models.simplify import reduce_model

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers

ROWS, COLUMNS, LOW, HIGH = 3, 4, -3.0, 3.0
#: What each rule of the loops is called with, for measured activity with charge (True) or all of it (False).
CASES = [
    (Epsilon(0.01), True),
    (Gamma(0.5), True),
    (AlphaBeta(1, 0), True),
    (AlphaBeta(1, 0), False),
    (AlphaBeta(2, 1), False),
    (AlphaBeta(2, 1, "whole"), False),
    (AlphaBeta(2, 1, None), False),
    (ZPlus(), True),
    (ZPlus(), False),
]
FIRST = [None, ZBox(LOW, HIGH), WSquare(), WSquare(bias=True), Flat(), Flat(bias=True)]


def as_matrix(kernel):
    """Write a convolution with 'same' padding as the matrix from all inputs to all units."""
    size, _, n_in, n_out = kernel.shape
    matrix = np.zeros((ROWS, COLUMNS, n_in, ROWS, COLUMNS, n_out))
    for y, x in np.ndindex(ROWS, COLUMNS):
        for dy, dx in np.ndindex(size, size):
            row, column = y + dy - size // 2, x + dx - size // 2
            if 0 <= row < ROWS and 0 <= column < COLUMNS:
                matrix[row, column, :, y, x] = kernel[dy, dx]
    return matrix.reshape(ROWS * COLUMNS * n_in, -1)


def weights_of_parts(rule, z, plus, minus, b, all_of_it):
    """Return, for a relevance of 1, the factors of positive and negative contributions, and what the bias is given."""
    if isinstance(rule, Epsilon):
        den = z + (rule.epsilon if z >= 0 else -rule.epsilon)
        return 1 / den, 1 / den, b / den
    if isinstance(rule, Gamma):
        if z > 0:
            den = (1 + rule.gamma) * plus + minus + b + rule.gamma * max(b, 0)
            return (1 + rule.gamma) / den, 1 / den, (b + rule.gamma * max(b, 0)) / den
        den = plus + (1 + rule.gamma) * minus + b + rule.gamma * min(b, 0)
        return 1 / den, (1 + rule.gamma) / den, (b + rule.gamma * min(b, 0)) / den
    alpha, beta, bias = (rule.alpha, rule.beta, rule.bias) if isinstance(rule, AlphaBeta) else (1, 0, rule.bias)
    if bias == "auto":
        bias = None if all_of_it else "split"
    p, q = {"split": (max(b, 0), min(b, 0)), "whole": (b, b), None: (0, 0)}[bias]
    up = alpha / (plus + p) if plus + p else 0
    down = -beta / (minus + q) if minus + q else 0
    return up, down, up * p + down * q


def share(rule, x, matrix, bias, given, all_of_it):
    """Return coefficients of the inputs, and what biases are given, unit by unit and input by input."""
    coefficients, of_bias = np.zeros(len(x)), 0.0
    for j, n in enumerate(given):
        if n == 0:
            continue
        parts = [x[i] * matrix[i, j] for i in range(len(x))]
        plus, minus = sum(part for part in parts if part > 0), sum(part for part in parts if part < 0)
        up, down, b = weights_of_parts(rule, plus + minus + bias[j], plus, minus, bias[j], all_of_it)
        of_bias += n * b
        for i in range(len(x)):
            rises = matrix[i, j] > 0 if x[i] >= 0 else matrix[i, j] < 0
            coefficients[i] += n * matrix[i, j] * (up if rises else down)
    return coefficients, of_bias


def share_first(rule, x, matrix, bias, given, connected):
    """Return the relevance of pixels."""
    relevance = np.zeros(len(x))
    for j, n in enumerate(given):
        if isinstance(rule, ZBox):
            w = matrix[:, j]
            parts = [x[i] * w[i] - LOW * max(w[i], 0) - HIGH * min(w[i], 0) for i in range(len(x))]
            total = sum(parts)
        else:
            parts = [matrix[i, j] ** 2 if isinstance(rule, WSquare) else float(connected[i, j]) for i in range(len(x))]
            own = bias[j] ** 2 if isinstance(rule, WSquare) else 1.0
            total = sum(parts) + (own if rule.bias else 0)
        for i in range(len(x)):
            relevance[i] += n * parts[i] / total
    return relevance


@pytest.fixture(scope="module")
def network():
    """Two convolutions, and activity that is not the ReLU of their currents."""
    rng = np.random.default_rng(0)
    inputs = _tf.keras.Input((ROWS, COLUMNS, 2))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="conv0")(inputs)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
    model = _tf.keras.Model(inputs, layers.Dense(3, name="readout")(layers.GlobalAveragePooling2D()(x)))
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    image = rng.normal(0.2, 1, (1, ROWS, COLUMNS, 2)).clip(LOW, HIGH).astype(np.float32)
    replay = Replay(reduce_model(model))
    told = {
        name: (np.asarray(value) * rng.choice([0, 0.6, 1, 1.4], value.shape) + 0.2 * (rng.random(value.shape) < 0.2))
        for name, value in replay(image).outputs.items()
    }
    return model, replay, image, {name: value.astype(np.float32) for name, value in told.items()}


@pytest.mark.parametrize("first", FIRST, ids=repr)
@pytest.mark.parametrize(("rule", "with_charge"), CASES, ids=repr)
def test_the_formulas_on_measured_activity(network, rule, with_charge, first):
    model, replay, image, told = network
    pairs = [("dense", Epsilon(0)), ("linear", rule)]
    composite = Composite(pairs if first is None else [("first", first), *pairs])
    transport = "coefficients" if with_charge else "relevance"
    found = explain_relevance(replay, image, told, [[0, 1, 0]], composite, transport=transport)

    weights = {name: [np.asarray(w, float) for w in model.get_layer(name).get_weights()] for name in ("conv0", "conv1")}
    matrices = {name: as_matrix(kernel) for name, (kernel, _) in weights.items()}
    below = {"conv0": np.asarray(image, float).ravel(), "conv1": told["conv0"].astype(float).ravel()}
    kernel = np.asarray(model.get_layer("readout").kernel, float)
    # The pooling is a mean, and the readout is linear: what a coefficient is there.
    coefficients = np.tile(kernel[:, 1] / (ROWS * COLUMNS), ROWS * COLUMNS)
    charges, biases = {}, {}
    for name in ("conv1", "conv0"):
        bias = np.tile(weights[name][1], ROWS * COLUMNS)
        activity, x = told[name].astype(float).ravel(), below[name]
        expected = np.maximum(x @ matrices[name] + bias, 0)
        given = coefficients * (expected if with_charge else activity)
        charges[name] = (coefficients * (activity - expected)).sum() if with_charge else 0.0
        if name == "conv0" and first is not None:
            connected = as_matrix(np.ones_like(weights[name][0])) != 0
            relevance = share_first(first, x, matrices[name], bias, given, connected)
        else:
            coefficients, biases[name] = share(rule, x, matrices[name], bias, given, not with_charge)
            relevance = coefficients * x
    scale = np.abs(relevance).max()
    assert scale > 1e-3
    np.testing.assert_allclose(found.attribution.ravel(), relevance, rtol=1e-5, atol=1e-5 * scale)
    for shares, wanted in ((found.charge_share, charges), (found.bias_share, biases)):
        for name, value in wanted.items():
            np.testing.assert_allclose(shares[name], value, rtol=1e-5, atol=1e-5 * max(scale, abs(value)))


def test_biases_stand_where_the_channels_are():
    """By Keras's own shape of the output; some models have channels in front of rows and columns."""
    for data_format, shape in (("channels_last", (5, 6, 3)), ("channels_first", (3, 5, 6))):
        layer = layers.Conv2D(4, 2, data_format=data_format)
        layer.build((None, *shape))
        layer.set_weights([layer.get_weights()[0], np.arange(4.0)])
        output = layer.compute_output_shape((1, *shape))[1:]
        bias = np.broadcast_to(Kernel(layer).bias, output)
        by_channel = np.moveaxis(bias, -1 if data_format == "channels_last" else 0, 0).reshape(4, -1)
        np.testing.assert_array_equal(by_channel, np.arange(4.0)[:, None] * np.ones(by_channel.shape[1]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Epsilon(-1), r"Epsilon: epsilon is no number from zero up; expected one, got -1"),
        (lambda: Epsilon("1"), r"Epsilon: epsilon is no number from zero up; expected one, got '1'"),
        (lambda: Gamma(float("nan")), r"Gamma: gamma is no number from zero up; expected one, got nan"),
        (lambda: AlphaBeta(-1, -2), r"AlphaBeta: alpha is no number from zero up; expected one, got -1"),
        (lambda: AlphaBeta(2, 2), r"AlphaBeta: alpha - beta has to be 1.*got alpha=2, beta=2"),
        (lambda: AlphaBeta(2, 1, "all"), r"AlphaBeta: bias says .*one of \['split', 'whole', None\], got 'all'"),
        (lambda: ZPlus("all"), r"ZPlus: bias says how .*one of \['auto', 'split', 'whole', None\], got 'all'"),
        (lambda: ZBox(1, 0), r"ZBox: low has to be below high; .*got low=1, high=0"),
        (lambda: ZBox(None, 0), r"ZBox: low has to be below high; .*got low=None, high=0"),
    ],
)
def test_wrong_rules(make, message):
    with pytest.raises(ParameterError, match=message):
        make()
