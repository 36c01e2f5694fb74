import pytest

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
    kernel_kind,
)
from nengo_cam.attribution.rules import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from nengo_cam.exceptions import ParameterError

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


@pytest.fixture(scope="module")
def known():
    return {
        "one": layers.Conv2D(2, 3),
        "dense": layers.DepthwiseConv2D(3),
        "pool": layers.AveragePooling2D(),
        "two": layers.Conv1DTranspose(2, 3),
        "readout": layers.Dense(3),
    }


def assigned(composite, known, first=("one",)):
    return {name: type(rule).__name__ for name, rule in composite.assign(known, first).items()}


def test_the_first_pair_that_fits_decides(known):
    first, named, last = Gamma(1), WSquare(), Epsilon()
    composite = Composite(
        [("first", first), ("two", named), (lambda name, layer: "max" in name, Flat()), ("linear", last)]
    )
    rules = composite.assign(known, ["one"])
    assert rules == {"one": first, "dense": last, "two": named, "readout": last}
    assert rules["dense"] is last


def test_kinds_come_before_names_of_layers(known):
    """Keras calls the first dense layer "dense": a pair for dense layers must not stand for that one alone."""
    assert assigned(Composite([("dense", Epsilon()), ("conv", ZPlus())]), known) == {
        "one": "ZPlus", "dense": "ZPlus", "two": "ZPlus", "readout": "Epsilon",
    }  # fmt: skip
    by_class = Composite([("DepthwiseConv2D", Flat()), ("Conv3D", Gamma())])
    assert assigned(by_class, known) == {"dense": "Flat"}
    by_function = Composite([(lambda name, layer: name == "dense", Flat()), ("linear", Epsilon())])
    assert assigned(by_function, known)["dense"] == "Flat"


def test_kinds_of_layers(known):
    assert [kernel_kind(layer) for layer in known.values()] == ["conv", "conv", None, "conv", "dense"]

    class Dense(layers.Dense):
        """One that may do anything."""

    assert kernel_kind(Dense(3)) is None
    assert kernel_kind(None) is None


@pytest.mark.parametrize(
    ("composite", "text", "rules"),
    [
        (EpsilonPlus(), "EpsilonPlus(epsilon=1e-06)", (ZPlus(), ZPlus(), Epsilon(1e-6))),
        (EpsilonPlusFlat(0.1), "EpsilonPlusFlat(epsilon=0.1)", (Flat(), ZPlus(), Epsilon(0.1))),
        (PresetA(), "PresetA(epsilon=0.1)", (AlphaBeta(1, 0, "whole"), AlphaBeta(1, 0, "whole"), Epsilon(0.1))),
        (PresetAFlat(), "PresetAFlat(epsilon=0.1)", (Flat(), AlphaBeta(1, 0, "whole"), Epsilon(0.1))),
        (PresetB(), "PresetB(epsilon=0.1)", (AlphaBeta(2, 1, "whole"), AlphaBeta(2, 1, "whole"), Epsilon(0.1))),
        (PresetBFlat(), "PresetBFlat(epsilon=0.1)", (Flat(), AlphaBeta(2, 1, "whole"), Epsilon(0.1))),
        (DeepTaylor(), "DeepTaylor()", (ZPlus(None),) * 3),
        (ExcitationBackprop(), "ExcitationBackprop()", (ZPlus(None),) * 3),
    ],
)
def test_presets(known, composite, text, rules):
    """As in the papers, zennit and iNNvestigate."""
    found = composite.assign(known, ["one"])
    assert (found["one"], found["two"], found["readout"]) == rules
    assert repr(composite) == text


def test_boxes_are_for_the_first_layer(known):
    found = EpsilonGammaBox(-1, [1, 2], gamma=0.5).assign(known, ["one"])
    assert isinstance(found["one"], ZBox) and (found["one"].low, found["one"].high) == (-1, [1, 2])
    assert found["two"] == Gamma(0.5)
    assert repr(EpsilonGammaBox(-1, [1, 2])) == "EpsilonGammaBox(low=-1, high=[1, 2], epsilon=1e-06, gamma=0.25)"
    # A first layer that is dense has no pixels to be next to.
    assert EpsilonGammaBox(0, 1).assign(known, ["readout"])["readout"] == Epsilon()
    assert isinstance(DeepTaylor(0, 1).assign(known, ["one"])["one"], ZBox)
    assert repr(DeepTaylor(0, 1)) == "DeepTaylor(low=0, high=1)"


def test_wrong_composites(known):
    with pytest.raises(
        ParameterError, match=r"composite: 'conv' does not say .* expected a name or a function, and a Rule"
    ):
        Composite(["conv", ZPlus()])
    with pytest.raises(ParameterError, match=r"composite: \('conv', 3\) does not say which layers follow which rule"):
        Composite([("conv", 3)])
    with pytest.raises(ParameterError, match=r"composite: 'three' is neither a kind nor a layer; .*'one'.*got 'three'"):
        Composite([("three", ZPlus())]).assign(known, ["one"])
    with pytest.raises(ParameterError, match=r"DeepTaylor: images have two bounds or none; .*got low=0, high=None"):
        DeepTaylor(0)
    with pytest.raises(ParameterError, match=r"ZBox: low has to be below high"):
        DeepTaylor(1, 0)
