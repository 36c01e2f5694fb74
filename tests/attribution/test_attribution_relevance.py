import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam.attribution.composites import (
    Composite,
    DeepTaylor,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
    PresetA,
    PresetAFlat,
    PresetB,
    PresetBFlat,
)
from nengo_cam.attribution.relevance import check_composite, explain_relevance
from nengo_cam.attribution.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, WSquare, ZBox, ZPlus
from nengo_cam.exceptions import ParameterError, UnsupportedModelError
from nengo_cam.measurement.recorder import Recorder, record
from nengo_cam.models.replay import Replay
from nengo_cam.models.simplify import reduce_model

_tf = ncam.compat.import_tensorflow()
nengo_dl = ncam.compat.import_nengo_dl()
layers = _tf.keras.layers

RELU = {"padding": "same", "activation": "relu"}
COMPOSITES = [
    EpsilonPlus(),
    EpsilonPlusFlat(),
    EpsilonGammaBox(-4, 4),
    PresetA(),
    PresetAFlat(),
    PresetB(),
    PresetBFlat(),
    DeepTaylor(),
    DeepTaylor(-4, 4),
    ExcitationBackprop(),
    Composite([("linear", Epsilon(0))]),
    Composite([("first", WSquare(bias=True)), ("linear", Epsilon(0.1))]),
    Composite([("first", Flat(bias=True)), ("linear", Gamma())]),
    Composite([("dense", Gamma(1)), ("linear", AlphaBeta(2, 1))]),
    Composite([("linear", WSquare())]),
]


def plain(x):
    return layers.Conv2D(5, 3, **RELU)(layers.AveragePooling2D(2)(layers.Conv2D(4, 3, **RELU)(x)))


def residual(x):
    x = layers.Conv2D(4, 3, **RELU)(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(layers.Conv2D(4, 3, **RELU)(x)))
    return layers.MaxPooling2D(2)(layers.ReLU(6.0)(layers.Add()([x, y])))


def concatenated(x):
    x = layers.Conv2D(4, 3, **RELU)(x)
    # Not to be folded: what is scaled has more than one reader.
    scaled = layers.BatchNormalization()(layers.AveragePooling2D(3, 1, padding="same")(x))
    parts = [layers.Conv2D(2, 1, **RELU)(x), scaled, layers.LeakyReLU(0.3)(layers.Conv2D(2, 1)(scaled))]
    return layers.Conv2D(4, 1, activation="relu")(layers.Concatenate()(parts))


def depthwise(x):
    x = layers.ReLU(0.7)(layers.DepthwiseConv2D(3, depth_multiplier=2)(layers.ZeroPadding2D(1)(x)))
    x = layers.ReLU(0.7)(layers.Conv2D(4, 1)(x))
    return layers.Conv2DTranspose(3, 3, strides=2, **RELU)(layers.Cropping2D(1)(x))


def spiking(x):
    x = layers.AveragePooling2D(2)(layers.Conv2D(4, 3, **RELU)(x))
    y = layers.Conv2D(4, 3, padding="same")(layers.ReLU(0.5)(layers.Conv2D(4, 3, padding="same")(x)))
    return layers.ReLU()(layers.Add()([x, y]))


def shared(x):
    both = layers.Conv2D(4, 3, name="both", **RELU)
    x = layers.Add()([both(layers.Conv2D(4, 1)(x)), layers.Conv2D(4, 1, **RELU)(x)])
    return layers.Dense(3, activation="relu")(layers.UpSampling2D(2)(both(x)))


BODIES = (plain, residual, concatenated, depthwise, shared)


def build(body, seed=0):
    """A model with random weights, biases and statistics."""
    _tf.keras.utils.set_random_seed(seed)
    inputs = _tf.keras.Input((6, 8, 2), name="image")
    model = _tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(body(inputs))))
    rng = np.random.default_rng(seed + 1)
    for variable in model.weights:
        if "variance" in variable.name or "gamma" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        else:
            scale = 1 / np.sqrt(np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 0.2
            variable.assign(rng.normal(0.02, scale, variable.shape))
    return model


@pytest.fixture(scope="module", params=BODIES, ids=lambda body: body.__name__)
def replay(request):
    return Replay(reduce_model(build(request.param)))


@pytest.fixture(scope="module")
def plain_replay():
    return Replay(reduce_model(build(plain)))


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(2).normal(0.3, 1, (3, 6, 8, 2)).clip(-4, 4).astype(np.float32)


def make_up(replay, frames, seed=3, negative=0.0):
    """Activity that differs from the ReLU of the current: too much, too little, none, and some where there is none."""
    rng = np.random.default_rng(seed)
    told = {}
    for name, output in replay(frames).outputs.items():
        value = np.asarray(output) * rng.choice([0, 0.5, 1, 1.5], output.shape) + 0.3 * (rng.random(output.shape) < 0.1)
        told[name] = (value - negative * (rng.random(output.shape) < 0.1)).astype(np.float32)
    return told


TARGET = np.array([[1, 0, 0], [0, 1, 0], [0.5, -1, 0.5]], np.float32)


def total(shares):
    return sum(shares.values())


# -- The ledger


@pytest.mark.parametrize("composite", COMPOSITES, ids=repr)
def test_what_is_shared_out_and_what_stays_is_the_target(replay, frames, composite):
    for transport, negative in (("auto", 0.0), ("coefficients", 0.01)):
        told = make_up(replay, frames, negative=negative)
        found = explain_relevance(replay, frames, told, TARGET, composite, transport=transport)
        logits = np.asarray(replay(frames, told=told).logits, float)
        np.testing.assert_allclose(found.total, (TARGET * logits).sum(axis=1), rtol=1e-6, atol=1e-6)
        assert np.isfinite(found.attribution).all()
        booked = sum(map(total, (found.bias_share, found.charge_share, found.clip_share, found.epsilon_share)))
        left = found.total - booked - found.attribution.astype(float).sum(axis=(1, 2, 3))
        # What was moved may be larger than the logit; rounding is that of what was moved.
        scale = max(np.abs(logits).max(), np.abs(found.attribution).sum(axis=(1, 2, 3)).max())
        assert np.abs(left).max() < 2e-5 * scale
        np.testing.assert_allclose(found.residual, left, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transport", ["coefficients", "relevance"])
@pytest.mark.parametrize("composite", COMPOSITES, ids=repr)
def test_the_cnn_itself_has_no_charge(replay, frames, composite, transport):
    found = explain_relevance(replay, frames, {}, TARGET, composite, transport=transport)
    assert not np.any(list(found.charge_share.values()))
    assert not np.any(list(found.clip_share.values()))
    logits = np.asarray(replay(frames).logits)
    scale = max(np.abs(logits).max(), np.abs(found.attribution).sum(axis=(1, 2, 3)).max())
    assert np.abs(found.residual).max() < 2e-5 * scale


class Means(Recorder):
    """Mean output of all spiking layers up to some steps, as the next layer received it."""

    def __init__(self, steps):
        self.steps = steps

    def observes(self, net):
        return list(net.spiking_layers)

    def begin(self, run):
        self.net, self.blocks = run.net, {step: [] for step in self.steps}

    def add(self, rows, chunk):
        values = {**chunk.observed, "logits": chunk.logits}
        for step in range(chunk.steps.start, chunk.steps.stop):
            if step == 0:
                # Image after image: another minibatch begins.
                self.sums = dict.fromkeys(values, 0.0)
            for name, value in values.items():
                self.sums[name] = self.sums[name] + value[:, step - chunk.steps.start].astype(float)
            if step + 1 in self.steps:
                self.blocks[step + 1].append({name: array / (step + 1) for name, array in self.sums.items()})

    def result(self):
        found = {}
        for step, blocks in self.blocks.items():
            found[step] = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
            for name in self.observes(self.net):
                shape = self.net.reduced.output(name).shape[1:]
                found[step][name] = found[step][name].reshape(-1, *shape)
        return found


@pytest.mark.parametrize(
    ("make_neurons", "simulator"),
    [
        (ncam.SignedIntegrateAndFire, ncam.Simulator),
        (ncam.IntegrateAndFire, ncam.Simulator),
        (ncam.SigmaDelta, ncam.Simulator),
        (ncam.IntegrateAndFire, nengo.Simulator),
        (ncam.SignedIntegrateAndFire, nengo_dl.Simulator),
    ],
)
def test_the_ledger_holds_at_every_time_of_a_spiking_network(make_neurons, simulator):
    """Of measured activity: logits are those of the simulator, and the charge's part gets small as time goes by."""
    model, frames = build(spiking), np.random.default_rng(2).random((3, 6, 8, 2), dtype=np.float32)
    net = ncam.convert(model, calibrate_on=frames, neurons=make_neurons())
    options = {"minibatch_size": 3, "seed": 0, "progress_bar": False, "simulator": simulator}
    (measured,) = record(net, frames, [Means((5, 20, 100))], n_steps=100, **options)
    replay = net.replay()
    charges = []
    for step, told in measured.items():
        logits = told.pop("logits")
        for composite in (EpsilonPlus(), Composite([("linear", Epsilon(0))]), Composite([("linear", Gamma())])):
            for transport in ("auto", "coefficients"):
                found = explain_relevance(replay, frames, told, TARGET, composite, transport=transport)
                np.testing.assert_allclose(found.logits, logits, rtol=0, atol=2e-5 * np.abs(logits).max())
                assert np.abs(found.residual).max() < 2e-5 * np.abs(logits).max(), step
        charges.append(np.abs(total(found.charge_share)).max())
    assert charges[0] > 3 * charges[-1] > 0


# -- Against what is known otherwise


@pytest.mark.parametrize("is_told", [False, True])
def test_without_a_stabilizer_it_is_input_times_gradient(replay, frames, is_told):
    """Of the gradient that TensorFlow takes through the gates of the replay [Shrikumar et al. 2016, section 3.1]."""
    told = make_up(replay, frames) if is_told else {}
    found = explain_relevance(
        replay, frames, told, TARGET, Composite([("linear", Epsilon(0))]), transport="coefficients", clip="share"
    )
    x = _tf.constant(frames)
    with _tf.GradientTape() as tape:
        tape.watch(x)
        chosen = _tf.reduce_sum(replay(x, told=told).logits * TARGET)
    expected = frames * np.asarray(tape.gradient(chosen, x))
    np.testing.assert_allclose(found.attribution, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert not np.any(list(found.epsilon_share.values())) or np.abs(total(found.epsilon_share)).max() < 1e-5
    clipped = {name for name, limit in replay.max_values.items() if np.isfinite(limit)}
    assert {name for name, share in found.clip_share.items() if share.any()} <= clipped
    if "re_lu" in str(clipped) and replay.max_values[next(iter(clipped))] < 1:
        assert np.abs(total(found.clip_share)).min() > 0


def test_relevance_form_conserves_without_charge(plain_replay, frames):
    """z+ without biases: all of the logit is with the pixels, but what finds no positive contribution."""
    told = make_up(plain_replay, frames)
    found = explain_relevance(plain_replay, frames, told, TARGET, ExcitationBackprop())
    assert not np.any(list(found.charge_share.values())) and not np.any(list(found.bias_share.values()))
    conserved = found.attribution.sum(axis=(1, 2, 3)) + total(found.epsilon_share)
    np.testing.assert_allclose(conserved, found.total, rtol=1e-5, atol=1e-6)


def test_excitation_backprop_gives_probabilities(plain_replay, frames):
    target = np.eye(3, dtype=np.float32)
    found = explain_relevance(plain_replay, np.abs(frames), {}, target, ExcitationBackprop(), start="one")
    assert found.attribution.min() >= 0
    np.testing.assert_allclose(found.total, 1, rtol=1e-6)
    np.testing.assert_allclose(found.attribution.sum(axis=(1, 2, 3)) + total(found.epsilon_share), 1, rtol=1e-5)


def test_contrast_is_the_difference_of_relevances(replay, frames):
    """Coefficients are linear in the target, whatever the rules of rectified layers."""
    told, one_hot = make_up(replay, frames), np.eye(3, dtype=np.float32)[[0, 0, 0]]
    other, options = np.eye(3, dtype=np.float32)[[1, 2, 1]], {"transport": "coefficients"}
    composite = Composite([("dense", Epsilon()), ("linear", ZPlus())])
    first, second, both = (
        explain_relevance(replay, frames, told, target, composite, **options).attribution
        for target in (one_hot, other, one_hot - other)
    )
    np.testing.assert_allclose(both, first - second, rtol=0, atol=1e-5 * np.abs(first).max())


def test_means_below_zero_are_taken_as_zero(plain_replay, frames):
    """A mean of -1e-4 must not turn the sign of what its unit is given: all stays as if it were zero."""
    told = make_up(plain_replay, frames)
    below = {name: np.where(value == 0, np.float32(-1e-4), value) for name, value in told.items()}
    composite = Composite([("dense", Epsilon(0)), ("linear", ZPlus())])
    expected, got = (
        explain_relevance(plain_replay, frames, activity, TARGET, composite, transport="coefficients")
        for activity in (told, below)
    )
    assert sum((value == 0).sum() for value in told.values()) > 100
    scale = np.abs(expected.attribution).max()
    np.testing.assert_allclose(got.attribution, expected.attribution, rtol=0, atol=2e-3 * scale)


def test_a_unit_that_has_not_fired_yet_but_has_current_is_accounted_for(plain_replay, frames):
    """Coefficients are defined where activity is zero: what the current would have sent is charge, with a minus."""
    name = next(iter(plain_replay.max_values))
    told = {name: np.zeros(plain_replay(frames).outputs[name].shape, np.float32)}
    found = explain_relevance(plain_replay, frames, told, TARGET, Composite([("linear", Epsilon(0))]))
    assert np.abs(found.attribution).max() > 1e-3
    moved = found.attribution.sum(axis=(1, 2, 3)) + found.bias_share[name]
    np.testing.assert_allclose(found.charge_share[name], -moved, rtol=1e-4, atol=1e-6)


# -- Properties


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), number=st.integers(0, len(COMPOSITES) - 1), silent=st.booleans())
def test_silent_networks_give_zero_and_never_nan(plain_replay, seed, number, silent):
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 1, (3, 6, 8, 2)).astype(np.float32)
    if silent:
        images *= 0
    told = {name: np.zeros(value.shape, np.float32) for name, value in plain_replay(images).outputs.items()}
    for transport in ("auto", "coefficients", "relevance"):
        found = explain_relevance(plain_replay, images, told, TARGET, COMPOSITES[number], transport=transport)
        assert np.isfinite(found.attribution).all()
        assert np.abs(found.residual).max() < 2e-5 * max(1, np.abs(found.attribution).sum())
        if transport == "relevance":
            # All of the logit is the bias of the readout: nothing was measured that it could be shared out among.
            assert not found.attribution.any()
        if silent and COMPOSITES[number].rules[0][0] != "first":
            assert not found.attribution.any()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), number=st.integers(0, len(COMPOSITES) - 1))
def test_it_does_not_matter_in_which_order_channels_stand(frames, seed, number):
    rng = np.random.default_rng(seed)
    model, order = build(plain), rng.permutation(4)
    replay = Replay(reduce_model(model))
    told = make_up(replay, frames, seed)
    first, second = (layer.name for layer in model.layers if layer.weights and "conv" in layer.name)
    kernel, bias = model.get_layer(first).get_weights()
    model.get_layer(first).set_weights([kernel[..., order], bias[order]])
    kernel, bias = model.get_layer(second).get_weights()
    model.get_layer(second).set_weights([kernel[:, :, order], bias])
    permuted = Replay(reduce_model(model))
    names = list(replay.max_values)
    others = {names[0]: told[names[0]][..., order], names[1]: told[names[1]]}
    expected = explain_relevance(replay, frames, told, TARGET, COMPOSITES[number])
    got = explain_relevance(permuted, frames, others, TARGET, COMPOSITES[number])
    scale = np.abs(expected.attribution).max()
    np.testing.assert_allclose(got.attribution, expected.attribution, rtol=0, atol=2e-5 * scale)
    for name in names:
        np.testing.assert_allclose(got.charge_share[name], expected.charge_share[name], rtol=1e-4, atol=2e-5 * scale)


# -- What cannot be explained


def refused(*tail):
    inputs = _tf.keras.Input((6, 8, 2))
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    for layer in tail:
        x = layer(x)
    return Replay(reduce_model(_tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))))


def test_nonlinearities_are_refused_but_for_pass(frames):
    replay = refused(layers.Conv2D(3, 3), layers.Activation("tanh", name="squashing"))
    with pytest.raises(UnsupportedModelError, match=r"layer 'squashing': relevance has no rule .*\('squashing', Pass"):
        explain_relevance(replay, frames, {}, TARGET, EpsilonPlus())
    composite = Composite([("squashing", Pass()), ("linear", Epsilon(0))])
    found = explain_relevance(replay, frames, {}, TARGET, composite)
    logits = np.asarray(replay(frames).logits)
    assert np.abs(found.residual).max() < 2e-5 * np.abs(logits).max()
    fused = refused(layers.Conv2D(3, 3, activation="sigmoid", name="fused"))
    with pytest.raises(
        UnsupportedModelError, match=r"layer 'fused': .* activation; expected ReLU or none, got 'sigmoid'"
    ):
        check_composite(fused, EpsilonPlus())


def test_layers_without_a_rule_are_named(frames):
    replay = refused()
    with pytest.raises(ParameterError, match=r"no rule for the layer 'dense.*'; expected a pair .* none for Dense"):
        explain_relevance(replay, frames, {}, TARGET, Composite([("conv", ZPlus())]))
    with pytest.raises(
        ParameterError, match=r"composite: 'conv7' is neither a kind nor a layer; expected one of \['conv"
    ):
        explain_relevance(replay, frames, {}, TARGET, Composite([("conv7", ZPlus()), ("linear", Epsilon())]))
    pooling = next(name for name in replay.linear_layers if "pooling" in name)
    with pytest.raises(
        ParameterError, match=r"Epsilon\(epsilon=1e-06\) shares out among the weights .*, got 'global_av"
    ):
        explain_relevance(replay, frames, {}, TARGET, Composite([(pooling, Epsilon()), ("linear", Epsilon())]))
    with pytest.raises(ParameterError, match=r"composite: Pass\(\) hands on unit by unit; .*got 'conv' with"):
        explain_relevance(replay, frames, {}, TARGET, Composite([("Conv2D", Pass()), ("linear", Epsilon())]))
    with pytest.raises(
        ParameterError, match=r"ZBox: low and high fit no input .* broadcasts to \(6, 8, 2\), got \(3,\)"
    ):
        explain_relevance(replay, frames, {}, TARGET, EpsilonGammaBox([0, 0, 0], [1, 1, 1]))


def test_wrong_arguments(plain_replay, frames):
    for option, choices in (("transport", "auto"), ("start", "logit"), ("clip", "factor")):
        with pytest.raises(ParameterError, match=rf"{option}: 'all' is not there; expected one of \['{choices}'"):
            explain_relevance(plain_replay, frames, {}, TARGET, EpsilonPlus(), **{option: "all"})
    with pytest.raises(ParameterError, match="composite: it says .* expected a Composite, got Epsilon"):
        explain_relevance(plain_replay, frames, {}, TARGET, Epsilon())
    with pytest.raises(ParameterError, match=r"target: it weighs .* expected shape \(3, 3\), got \(3,\)"):
        explain_relevance(plain_replay, frames, {}, TARGET[0], EpsilonPlus())


def test_rules_of_first_layers_give_relevance_to_black_pixels(plain_replay, frames):
    found = explain_relevance(plain_replay, 0 * frames, {}, TARGET, EpsilonGammaBox(-1, 1))
    assert np.abs(found.attribution).max() > 0
    assert isinstance(EpsilonGammaBox(-1, 1).rules[1][1], ZBox)
