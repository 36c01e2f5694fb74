"""Relevance of the CNN itself beside zennit, whose numbers `data/attribution/make_zennit.py` made."""

import pathlib

import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.attribution.composites import Composite, DeepTaylor, EpsilonGammaBox, EpsilonPlus, EpsilonPlusFlat
from nengo_cam.attribution.relevance import explain_relevance
from nengo_cam.attribution.rules import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZPlus
from nengo_cam.models.replay import Replay
from nengo_cam.models.simplify import reduce_model

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers

RULES = {
    "epsilon 1e-6": Epsilon(1e-6),
    "epsilon .1": Epsilon(0.1),
    "gamma .25": Gamma(0.25),
    "z+": ZPlus("split"),
    "z+ without bias": ZPlus(None),
    "alpha 2 beta 1": AlphaBeta(2, 1),
    "alpha 2 beta 1 without bias": AlphaBeta(2, 1, None),
    "alpha 1 beta 0": AlphaBeta(1, 0),
    "w squared": WSquare(),
    "w squared with bias": WSquare(bias=True),
    "flat": Flat(),
}
COMPOSITES = {
    **{name: Composite([("linear", rule)]) for name, rule in RULES.items()},
    "EpsilonPlus": EpsilonPlus(),
    "EpsilonPlusFlat": EpsilonPlusFlat(),
    "EpsilonPlus with bias": EpsilonPlus(),
    "EpsilonPlusFlat with bias": EpsilonPlusFlat(),
    "EpsilonGammaBox": EpsilonGammaBox(-4, 4),
    "DeepTaylor": DeepTaylor(),
    "DeepTaylor, bounded": DeepTaylor(-4, 4),
}


@pytest.fixture(scope="module")
def stored():
    with np.load(pathlib.Path(__file__).parents[1] / "data" / "attribution" / "zennit.npz") as file:
        return dict(file)


def plain(x):
    x = layers.AveragePooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu", name="conv0")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="deep")(x)
    return layers.ReLU()(x)


def residual(x):
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv0")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(4, 1, name="conv2")(y)]))
    return layers.Conv2D(5, 3, activation="relu", name="conv3")(layers.MaxPooling2D(2)(x))


@pytest.fixture(scope="module", params=[plain, residual], ids=lambda body: body.__name__)
def network(request, stored):
    inputs = _tf.keras.Input((6, 8, 2))
    x = layers.GlobalAveragePooling2D()(request.param(inputs))
    model = _tf.keras.Model(inputs, layers.Dense(3, name="readout")(x))
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([stored[f"{request.param.__name__}/{layer.name}/{what}"] for what in ("kernel", "bias")])
    return request.param.__name__, Replay(reduce_model(model))


#: Without measured activity it makes no difference what is carried, but for the bias that z+ takes of itself.
CASES = [
    (name, transport)
    for name in COMPOSITES
    for transport in ("auto", "coefficients", "relevance")
    if not name.startswith("EpsilonPlus") or ("with bias" in name) == (transport == "coefficients")
]


@pytest.mark.parametrize("kind", ["signed", "positive"])
@pytest.mark.parametrize(("name", "transport"), CASES)
def test_the_cnn_is_explained_as_zennit_explains_it(network, stored, name, kind, transport):
    known, replay = network
    images = stored[f"images/{kind}"]
    target = np.zeros((2, 3), np.float32)
    target[:, 1] = 1
    found = explain_relevance(replay, images, {}, target, COMPOSITES[name], transport=transport)
    np.testing.assert_allclose(found.logits, stored[f"{known}/{kind}/logits"], rtol=0, atol=2e-6)
    expected = stored[f"{known}/{kind}/{name}"]
    # Image by image: shares of one must not hide in the size of another.
    for got, wanted in zip(found.attribution, expected):
        assert np.abs(wanted).max() > 1e-3
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
