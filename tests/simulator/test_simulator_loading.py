"""What a simulation loads: TensorFlow for dense convolutions and TensorNodes, and for nothing else."""

import subprocess
import sys

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.simulator import Rule, register_operator
from nengo_cam.simulator.operator_rules import find_rule

START = """
import sys
import nengo
import numpy as np
import nengo_cam as ncam

def loaded():
    return sorted({"tensorflow", "nengo_dl"} & set(sys.modules))
"""
PLAIN = """
with nengo.Network(seed=0) as net:
    stimulus = nengo.Node(lambda t: np.sin(8 * t))
    ensemble = nengo.Ensemble(300, 1, neuron_type=NEURONS)
    nengo.Connection(stimulus, ensemble, synapse=nengo.Alpha(0.01))
    other = nengo.Ensemble(300, 1, neuron_type=nengo.LIF())
    # As large as those that TensorFlow multiplies beside convolutions.
    nengo.Connection(ensemble.neurons, other.neurons, transform=np.full((300, 300), 1e-4))
    probe = nengo.Probe(other, synapse=0.01)
with ncam.Simulator(net, progress_bar=False) as sim:
    sim.run_steps(20)
print(sim.data[probe].shape, loaded())
"""
CONVOLUTION = """
with nengo.Network(seed=0) as net:
    image = nengo.Node(np.zeros(8 * 8 * 2))
    transform = nengo.Convolution(n_filters=3, input_shape=(8, 8, 2), kernel_size=(3, 3))
    probe = nengo.Probe(nengo.Node(size_in=transform.size_out))
    nengo.Connection(image, probe.obj, transform=transform, synapse=None)
events, dense = np.zeros((1, 5, image.size_out)), np.ones((1, 5, image.size_out))
events[0, :, 7] = 1
with ncam.Simulator(net, minibatch_size=1, progress_bar=False) as sim:
    sim.run_steps(5, data={image: events})
    print(loaded())
    sim.run_steps(5, data={image: dense})
    print(loaded())
"""


def run(code):
    command = [sys.executable, "-W", "ignore", "-c", START + code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("neurons", ["nengo.LIF()", "ncam.SignedIntegrateAndFire()", "nengo.RectifiedLinear()"])
def test_networks_without_convolutions_do_without_tensorflow(neurons):
    assert run(PLAIN.replace("NEURONS", neurons)) == ["(20, 1) []"]


def test_convolutions_load_it_with_the_first_dense_frames():
    assert run(CONVOLUTION) == ["[]", "['tensorflow']"]


@pytest.mark.parametrize("beside_a_convolution", [False, True])
def test_large_matrices_by_either_library(simulator_class, beside_a_convolution):
    rng = np.random.default_rng(0)
    matrix, values = rng.standard_normal((280, 300)), rng.standard_normal((2, 6, 300))
    with nengo.Network(seed=0) as net:
        source, target = nengo.Node(np.zeros(300)), nengo.Node(size_in=280)
        nengo.Connection(source, target, transform=matrix, synapse=None)
        probe = nengo.Probe(target)
        if beside_a_convolution:
            transform = nengo.Convolution(n_filters=2, input_shape=(10, 10, 3), kernel_size=(3, 3))
            nengo.Connection(source, nengo.Node(size_in=transform.size_out), transform=transform, synapse=None)
    with simulator_class(net, minibatch_size=2, progress_bar=False) as sim:
        sim.run_steps(6, data={source: values})
        np.testing.assert_allclose(sim.data[probe], values @ matrix.T, rtol=0, atol=1e-4)


def test_a_rule_by_the_name_of_its_operator():
    class Named(nengo.builder.operator.Reset):
        pass

    class Derived(Named):
        pass

    @register_operator(f"{Named.__module__}.{Named.__qualname__}")
    class NamedRule(Rule):
        pass

    signal = nengo.builder.Signal(np.zeros(1), name="signal")
    # Nearer than the rule for `Reset`, which is registered by its class.
    assert find_rule(Named(signal)) is NamedRule
    assert find_rule(Derived(signal)) is NamedRule
    assert find_rule(nengo.builder.operator.Reset(signal)) is not NamedRule


def test_operators_that_are_known_are_named_however_they_are_registered():
    with pytest.raises(ncam.exceptions.SimulatorError, match=r"'Reset'.*'SimTensorNode'.* got Operator"):
        find_rule(nengo.builder.Operator())
