"""Input that moves is shown to neurons that remember: it is said before the run, and in the result."""

import warnings

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import MovingInputWarning

REMEMBER = [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.LIF()]
FOLLOW = [
    ncam.SigmaDelta(),
    ncam.SigmaDelta(bits=2, quantum=0.1),
    ncam.IntegrateAndFire(floor=-1),
    ncam.SignedIntegrateAndFire(memory=2),
    nengo.RectifiedLinear(),
    None,
]


@pytest.fixture(scope="module")
def film(images):
    return np.stack([images[[0, 0, 1, 1, 2, 2]], images[[2, 2, 2, 2, 2, 3]]])


def run(model, neurons, shown, **options):
    net = ncam.convert(model, neurons=neurons, calibrate_on=np.asarray(shown).reshape(-1, 8, 6, 2), synapse=None)
    return ncam.spiking_cam(net, shown, n_steps=6, progress_bar=False, **options)


@pytest.mark.parametrize("neurons", REMEMBER, ids=lambda neurons: type(neurons).__name__)
def test_neurons_that_remember_are_named_with_those_that_follow(small_model, film, neurons):
    name = type(neurons).__name__
    with pytest.warns(MovingInputWarning, match=rf"{name} neurons .* neurons=nengo_cam.SigmaDelta\(bits=2") as caught:
        result = run(small_model, neurons, film)
    # Of the user's line.
    assert [warning.filename for warning in caught if warning.category is MovingInputWarning] == [__file__]
    assert result.attrs["lagging"] == name


@pytest.mark.parametrize("neurons", FOLLOW, ids=str)
def test_nothing_is_said_of_neurons_that_follow_or_forget(small_model, film, neurons):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MovingInputWarning)
        result = run(small_model, neurons, film)
    assert "lagging" not in result.attrs


@pytest.mark.parametrize("kind", ["still", "film of one picture"])
def test_nothing_is_said_where_nothing_moves(small_model, images, kind):
    shown = images[:2] if kind == "still" else np.repeat(images[:2, None], 6, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", MovingInputWarning)
        assert "lagging" not in run(small_model, ncam.IntegrateAndFire(), shown).attrs


def by_hand(neurons):
    """Run a film through a network without a CNN, whose neurons somebody chose."""
    with nengo.Network(seed=0, label="hand") as network:
        image, logits = nengo.Node(np.zeros(4)), nengo.Node(size_in=2)
        layer = nengo.Ensemble(4, 1, neuron_type=neurons, gain=np.full(4, 200.0), bias=np.full(4, 10.0))
        nengo.Connection(image, layer.neurons, synapse=None)
        readout = nengo.Connection(layer.neurons, logits, transform=np.ones((2, 4)), synapse=None)
    net = ncam.from_network(network, input=image, features=layer.neurons, readout=readout, map_shape=(2, 2))
    shown = np.linspace(0, 1, 24).reshape(1, 6, 4)
    return ncam.spiking_cam(net, shown, n_steps=6, progress_bar=False)


@pytest.mark.parametrize(
    ("neurons", "name"), [(neurons, type(neurons).__name__) for neurons in REMEMBER[:2]], ids=lambda one: str(one)
)
def test_networks_without_a_cnn_are_told_what_can_be_done_there(neurons, name):
    message = rf"^network of 'hand': its input moves, and {name} neurons remember .* Bound it where the ensembles are"
    with pytest.warns(MovingInputWarning, match=message) as caught:
        result = by_hand(neurons)
    (said,) = [str(warning.message) for warning in caught if warning.category is MovingInputWarning]
    # Nothing was converted.
    assert "onvert" not in said
    assert result.attrs["lagging"] == name


LEAVE = [
    nengo.SpikingRectifiedLinear(), nengo.LIF(), nengo.LIFRate(), ncam.SigmaDelta(), ncam.IntegrateAndFire(floor=-1),
    ncam.SignedIntegrateAndFire(memory=2),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.SilentFeaturesWarning")
@pytest.mark.parametrize("neurons", LEAVE, ids=str)
def test_nothing_is_said_of_what_somebody_chose_and_forgets(neurons):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MovingInputWarning)
        result = by_hand(neurons)
    assert "lagging" not in result.attrs
    # It did move, as each step has an input of its own.
    assert result.sizes["time"] == 6


def test_what_is_refused_is_not_warned_of(small_model, film):
    with warnings.catch_warnings():
        warnings.simplefilter("error", MovingInputWarning)
        with pytest.raises(ncam.exceptions.LabelError, match="labels: 17 does not exist"):
            run(small_model, ncam.IntegrateAndFire(), film, labels=17)


def test_explain_chooses_neurons_that_follow(small_model, images, film):
    result = ncam.explain(small_model, film, calibrate_on=images, n_steps=6, progress_bar=False)
    assert "the images move" in result.net.choice
    still = ncam.explain(small_model, images[:2], calibrate_on=images, n_steps=6, progress_bar=False)
    assert "the images move" not in still.net.choice
