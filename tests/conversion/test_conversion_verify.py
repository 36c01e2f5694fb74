import dataclasses

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.conversion.verify import Verification
from nengo_cam.exceptions import ImageError, ParameterError, SimulatorError, VerificationError
from nengo_cam.models.outputs import apply_activation


def test_failures_name_what_is_too_large():
    result = Verification(1e-6, 2e-3, float("nan"), 3e-6, 2e-6, n_images=1, n_steps=1)
    clauses = result.failures(atol=1e-4, completeness_tol=1e-5)
    assert [clause.split(" differ")[0] for clause in clauses] == [
        "the logits of its rate form",
        "the maps of its rate form",
    ]
    assert "got 2.0e-03" in clauses[0]
    assert "got nan" in clauses[1]
    assert [clause.split(" differs")[0] for clause in result.failures(atol=1e-7, completeness_tol=1e-6)[-2:]] == [
        "mean of the map + bias",
        "mean of the CNN's own map + bias",
    ]
    assert "CNN's own map: within 2.0e-06. (1 images)" in str(result)


def test_maps_of_the_cnn_are_compared_with_its_logits(make_model, images):
    """A kernel that does not belong to the features of `rate_cam` is found, although the network itself is right."""
    net = ncam.convert(make_model(), calibrate_on=images)
    assert net.verify(images).rate_completeness_error < 1e-5
    wrong = dataclasses.replace(net, head=dataclasses.replace(net.head, kernel=0.5 * net.head.kernel))
    with pytest.raises(VerificationError, match="mean of the CNN's own map . bias differs") as caught:
        wrong.verify(images)
    logits = net.converter.model.predict(images, verbose=0)
    expected = 0.5 * np.abs(logits - net.head.bias).max() / np.abs(logits).max()
    assert caught.value.verification.rate_completeness_error == pytest.approx(expected, rel=1e-4)
    assert caught.value.verification.completeness_error < 1e-5


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_large_logits_do_not_overflow(make_model, images, activation):
    """exp(1000) is infinite; RuntimeWarnings are errors in these tests."""
    model = make_model(activation=activation)
    kernel, bias = model.get_layer("readout").get_weights()
    model.get_layer("readout").set_weights([-1e4 * np.abs(kernel), bias])
    net = ncam.convert(model, neurons=None)
    logits = ncam.rate_cam(net, images).logits.values
    assert np.abs(logits).max() > 1000
    assert net.verify(images).output_difference < 1e-5
    expected = {"softmax": tf_softmax, "sigmoid": tf_sigmoid}[activation](logits)
    np.testing.assert_allclose(apply_activation(activation, logits), expected, rtol=1e-4, atol=1e-7)


def tf_softmax(logits):
    return ncam.compat.import_tensorflow().nn.softmax(logits).numpy()


def tf_sigmoid(logits):
    return ncam.compat.import_tensorflow().nn.sigmoid(logits).numpy()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_output_is_compared_through_the_activation(make_model, images, activation):
    result = ncam.convert(make_model(activation=activation), neurons=None).verify(images)
    assert result.output_difference < 1e-5


def test_logit_difference_against_a_plain_calculation(make_model, images):
    """The reduced model is not what the model was: the rate form, which is made of it, is off by the change."""
    model = make_model()
    net = ncam.convert(model, neurons=None)
    readout = net.converter.model.get_layer("readout")
    logits = net.converter.model.predict(images, verbose=0)
    kernel, bias = readout.get_weights()
    readout.set_weights([kernel, bias + 0.5])
    with pytest.raises(ncam.CAMError) as caught:
        net.verify(images)
    expected = 0.5 / np.abs(logits).max()
    assert caught.value.verification.logit_difference == pytest.approx(expected, rel=1e-4)
    assert caught.value.verification.cam_difference < 1e-5


def test_wrong_arguments(small_model, images):
    net = ncam.convert(small_model)
    with pytest.raises(ParameterError, match="n_steps"):
        net.verify(images, n_steps=0)
    with pytest.raises(ImageError, match="Add the batch axis"):
        net.verify(images[0])


@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo_dl.Simulator])
def test_a_network_that_is_not_what_it_was_converted_to_is_found(make_model, images, simulator):
    """Something else is added to the logits, as much as Nengo itself says."""
    net = ncam.convert(make_model(), calibrate_on=images, neurons=ncam.SigmaDelta(2))
    assert net.verify(images, simulator=simulator).completeness_error < 1e-6
    with net.net:
        nengo.Connection(net.features.obj, net.logits.obj, transform=np.ones((3, net.features.size_in)), synapse=None)
    with pytest.raises(VerificationError, match="mean of the map . bias differs from the logits") as caught:
        net.verify(images, simulator=simulator)
    added, logits = [], []
    for image in images:
        net.input.output = np.asarray(image, float).ravel()
        with nengo.Simulator(net.net, progress_bar=False) as sim:
            sim.run_steps(10)
            added.append(sim.data[net.features].sum(axis=1))
            logits.append(sim.data[net.logits])
    expected = np.abs(added).max() / np.abs(logits).max()
    assert caught.value.verification.completeness_error == pytest.approx(expected, rel=1e-5)


def test_both_simulators_find_the_same(make_model, images):
    net = ncam.convert(make_model(), calibrate_on=images)
    readout = net.converter.model.get_layer("readout")
    kernel, bias = readout.get_weights()
    readout.set_weights([kernel, bias + 0.5])
    found = []
    for simulator in (ncam.Simulator, nengo_dl.Simulator):
        with pytest.raises(VerificationError, match="the logits of its rate form differ") as caught:
            net.verify(images, simulator=simulator)
        *numbers, trained, further = dataclasses.astuple(caught.value.verification)
        # The model was given other weights than the network.
        assert (trained, further) == (("readout",), ())
        found.append(numbers)
    np.testing.assert_allclose(*found, rtol=1e-4, atol=2e-6)


def test_what_does_not_fit_into_numbers_is_no_network(make_model, images):
    model = make_model()
    net = ncam.convert(model, neurons=ncam.SigmaDelta(2))
    layer = net.net.all_ensembles[0]
    layer.bias = np.full(layer.n_neurons, 1e38)
    layer.gain = np.full(layer.n_neurons, 1e38)
    with np.errstate(over="ignore"), pytest.raises(VerificationError, match="differs from the logits.*got nan"):
        net.verify(images)


def test_a_network_to_which_feedback_was_added(make_model, images):
    net = ncam.convert(make_model(), calibrate_on=images)
    with net.net:
        node = nengo.Node(size_in=1)
        nengo.Connection(node, node, synapse=0.01)
    with pytest.raises(SimulatorError, match="nengo_dl.Simulator"):
        net.verify(images)
    assert net.verify(images, simulator=nengo_dl.Simulator).completeness_error < 1e-5


@pytest.mark.parametrize("simulator", [nengo.Simulator, "nengo_dl", None])
def test_simulators_that_cannot_verify(small_model, images, simulator):
    with pytest.raises(ParameterError, match="simulator: expected the class nengo_cam.Simulator or nengo_dl.Simulator"):
        ncam.convert(small_model).verify(images, simulator=simulator)
