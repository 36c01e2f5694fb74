"""Neuron types against the reference simulator."""

# ruff: noqa: N803, N806 (Nengo's names)

import nengo
import numpy as np
import pytest

import nengo_cam as ncam

# Nengo's own, when it works out the maximal rates of given gains and biases.
pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")

nengo_dl = ncam.compat.import_nengo_dl()


class Doubling(nengo.RectifiedLinear):
    """A type that nobody has a rule for; it works on vectors only, and writes into its input."""

    state = {"level": nengo.dists.Uniform(0, 1)}  # noqa: RUF012

    def step(self, dt, J, output, level):
        assert J.ndim == 1
        J *= 2
        level += dt * J
        output[...] = np.sort(level)


TYPES = [
    nengo.RectifiedLinear(amplitude=0.3),
    nengo.SpikingRectifiedLinear(amplitude=0.3),
    ncam.IntegrateAndFire(amplitude=0.3),
    ncam.IntegrateAndFire(initial_state={"voltage": nengo.dists.Uniform(0, 1)}),
    ncam.SignedIntegrateAndFire(amplitude=0.3),
    ncam.SignedIntegrateAndFire(negative_threshold=0, initial_state={"voltage": nengo.dists.Uniform(0, 1)}),
    ncam.ClippedRectifiedLinear(99, amplitude=0.3),
    ncam.ClippedRectifiedLinear(np.linspace(1, 200, 30), amplitude=0.3),
    ncam.ClippedIntegrateAndFire(61.7, amplitude=0.3),
    ncam.ClippedIntegrateAndFire(np.linspace(1, 200, 30), initial_state={"voltage": nengo.dists.Uniform(0, 1)}),
    ncam.SignedClippedIntegrateAndFire(61.7, amplitude=0.3),
    ncam.SignedClippedIntegrateAndFire(np.linspace(1, 200, 30), negative_threshold=0),
    ncam.IntegrateAndFire(amplitude=0.3, floor=-1),
    ncam.ClippedIntegrateAndFire(61.7, floor=-0.3),
    ncam.SignedIntegrateAndFire(negative_threshold=0.25, memory=2),
    ncam.SignedClippedIntegrateAndFire(61.7, negative_threshold=0.25, memory=1),
    ncam.SigmaDelta(amplitude=0.3),
    ncam.SigmaDelta(bits=1, max_value=61.7),
    ncam.SigmaDelta(bits=None, quantum=0.2, threshold=5, max_value=np.linspace(1, 200, 30)),
    nengo.LIF(tau_rc=0.015, amplitude=0.7),
    nengo.LIF(min_voltage=-1),
    nengo.LIFRate(),
    nengo.AdaptiveLIF(tau_n=0.02, inc_n=0.05),
    nengo.AdaptiveLIFRate(tau_n=0.02, inc_n=0.05),
    nengo.Izhikevich(),
    nengo.Sigmoid(),
    nengo.Tanh(),
    nengo.RegularSpiking(nengo.LIFRate()),
    nengo.RegularSpiking(nengo.Tanh()),
    nengo.PoissonSpiking(nengo.LIFRate(), amplitude=0.5),
    nengo.PoissonSpiking(nengo.Tanh()),
    nengo.StochasticSpiking(nengo.RectifiedLinear()),
    nengo.StochasticSpiking(nengo.AdaptiveLIFRate()),
    nengo_dl.SoftLIFRate(sigma=0.5),
    nengo_dl.LeakyReLU(negative_slope=0.2),
    nengo_dl.SpikingLeakyReLU(negative_slope=0.2),
    Doubling(),
]


def name_of(neurons):
    """Name a test by the neurons, their arrays by their shapes."""
    shape = np.shape(getattr(neurons, "max_value", 0))
    return f"{type(neurons).__name__} with {shape[0]} clips" if shape else str(neurons)


def network(neuron_type, n=30, size=1, probe_states=True):
    linear = isinstance(getattr(neuron_type, "base_type", neuron_type), nengo.RectifiedLinear)
    scale = 100 if linear else 1
    with nengo.Network(seed=4) as net:
        stimulus = nengo.Node(lambda t: np.sin(200 * t + np.arange(size)), size_out=size)
        ensemble = nengo.Ensemble(
            n, 1, neuron_type=neuron_type, gain=scale * np.linspace(1, 6, n), bias=scale * np.linspace(-1, 2, n)
        )
        nengo.Connection(stimulus, ensemble.neurons, transform=np.ones((n, size)), synapse=None)
        net.stimulus, net.probe = stimulus, nengo.Probe(ensemble.neurons)
        for name in ensemble.neurons.probeable if probe_states else ():
            if name not in ("output", "input"):
                nengo.Probe(ensemble.neurons, name)
    return net


@pytest.mark.parametrize("neuron_type", TYPES, ids=name_of)
@pytest.mark.parametrize("probe_states", [False, True])
def test_neurons_equal_the_reference_step_by_step(neuron_type, probe_states, same_as_nengo):
    net = network(neuron_type, probe_states=probe_states)
    data = same_as_nengo(net, 60)
    assert data[net.probe].any()


@pytest.mark.parametrize("neuron_type", TYPES, ids=name_of)
def test_an_item_does_not_depend_on_the_others(neuron_type, simulator_class):
    net = network(neuron_type)
    signals = np.random.RandomState(1).uniform(-1, 1, (3, 25, 1))
    with simulator_class(net, minibatch_size=3, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(25, data={net.stimulus: signals})
        together = sim.data[net.probe]
    for item in range(3):
        with simulator_class(net, dtype="float64", progress_bar=False) as sim:
            sim.run_steps(25, data={net.stimulus: signals[item]})
        np.testing.assert_array_equal(sim.data[net.probe], together[item])


@pytest.mark.parametrize(
    "neuron_type",
    [
        ncam.IntegrateAndFire(),
        ncam.SignedIntegrateAndFire(),
        ncam.ClippedIntegrateAndFire(61.7),
        ncam.ClippedIntegrateAndFire(np.linspace(10.01, 200.01, 40_000)),
        ncam.SignedClippedIntegrateAndFire(61.7),
        ncam.IntegrateAndFire(floor=-1),
        ncam.SignedIntegrateAndFire(negative_threshold=0.25, memory=2),
        nengo.SpikingRectifiedLinear(),
        nengo.LIF(),
        nengo.RectifiedLinear(),
    ],
    ids=name_of,
)
@pytest.mark.parametrize("probe_states", [False, True])
def test_single_precision_and_threads_change_next_to_no_spike(neuron_type, probe_states, simulator_class):
    n = 40_000  # enough for several threads
    net = network(neuron_type, n, size=2, probe_states=probe_states)
    results = []
    for dtype in ("float64", "float32"):
        with simulator_class(net, dtype=dtype, progress_bar=False) as sim:
            sim.run_steps(40)
        results.append(sim.data[net.probe])
    assert results[1].dtype == np.float32
    if neuron_type.spiking:
        different = np.mean(np.abs(results[0] - results[1]) > 1)
        assert different <= 1e-5
    else:
        np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("bits", [None, 1, 2])
@pytest.mark.parametrize("max_value", [None, 61.7, np.linspace(10.01, 200.01, 40_000)], ids=["no clip", "one", "each"])
@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
def test_single_precision_and_threads_change_next_to_no_level(bits, max_value, moving, simulator_class):
    n, n_steps = 40_000, 40
    neurons = ncam.SigmaDelta(bits, max_value=max_value)
    with nengo.Network(seed=4) as net:
        node = nengo.Node(np.zeros(1))
        # Currents of up to 200 Hz, which networks are scaled to.
        ensemble = nengo.Ensemble(n, 1, neuron_type=neurons, gain=np.linspace(-99.3, 101.7, n), bias=np.full(n, 90.1))
        nengo.Connection(node, ensemble.neurons, transform=np.ones((n, 1)), synapse=None)
        probe = nengo.Probe(ensemble.neurons)
    drive = np.sin(0.3 * np.arange(n_steps)) if moving else np.full(n_steps, 0.937)
    levels = []
    for dtype in ("float64", "float32"):
        with simulator_class(net, dtype=dtype, progress_bar=False) as sim:
            sim.run_steps(n_steps, data={node: drive[:, None]})
        levels.append(np.rint(sim.data[probe]))
        assert levels[-1].any()
    sent = [np.diff(level, axis=0, prepend=0) for level in levels]
    # Whether a spike is sent, and how large it is: an activity that is rounded anew at each step comes near a tie more
    # often than single precision tells apart.
    assert np.mean((sent[0] != 0) != (sent[1] != 0)) <= 1e-5
    assert np.mean(sent[0] != sent[1]) <= (2e-5 if moving else 1e-5)
    np.testing.assert_allclose(levels[1], levels[0], atol=1 if bits is None else 16)


@pytest.mark.parametrize("bits", [None, 1, 2])
@pytest.mark.parametrize(("state", "value"), [("output", np.inf), ("output", np.nan), ("level", np.inf)])
def test_levels_beyond_the_range_of_numbers_are_an_error(bits, state, value, simulator_class):
    with nengo.Network(seed=4) as net:
        node = nengo.Node(np.zeros(3))
        neurons = ncam.SigmaDelta(bits)
        ensemble = nengo.Ensemble(3, 1, neuron_type=neurons, gain=np.ones(3), bias=np.zeros(3))
        nengo.Connection(node, ensemble.neurons, synapse=None)
        nengo.Probe(ensemble.neurons, state)
    with (
        simulator_class(net, progress_bar=False) as sim,
        pytest.raises(FloatingPointError, match="invalid value"),
    ):
        sim.run_steps(4, data={node: np.full((4, 3), value)})


@pytest.mark.parametrize(
    "neuron_type",
    [
        nengo.SpikingRectifiedLinear(),
        ncam.IntegrateAndFire(),
        ncam.SignedIntegrateAndFire(),
        ncam.ClippedIntegrateAndFire(300.1),
        ncam.SignedClippedIntegrateAndFire(300.1),
        nengo.LIF(),
    ],
    ids=str,
)
@pytest.mark.parametrize("synapse", [None, 0.005])
def test_gains_that_differ_work_in_single_precision(neuron_type, synapse, simulator_class):
    scale = 1 if isinstance(neuron_type, nengo.LIF) else 100
    with nengo.Network(seed=4) as net:
        stimulus = nengo.Node(lambda t: np.sin(200 * t + np.arange(3)), size_out=3)
        ensemble = nengo.Ensemble(
            20, 1, neuron_type=neuron_type, gain=scale * np.linspace(1, 6, 20), bias=scale * np.linspace(1.1, 2, 20)
        )
        for _ in range(2):
            nengo.Connection(stimulus, ensemble.neurons, transform=np.ones((20, 3)), synapse=synapse)
        nengo.Connection(nengo.Node(np.ones(20)), ensemble.neurons, synapse=None)
        probe = nengo.Probe(ensemble.neurons)
    results = []
    for dtype in ("float64", "float32"):
        with simulator_class(net, dtype=dtype, progress_bar=False) as sim:
            sim.run_steps(50)
        results.append(sim.data[probe])
    assert results[0].any()
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


@pytest.mark.parametrize(
    "neuron_type",
    [
        nengo.SpikingRectifiedLinear(),
        ncam.IntegrateAndFire(),
        ncam.SignedIntegrateAndFire(),
        ncam.ClippedIntegrateAndFire(60),
        ncam.SignedClippedIntegrateAndFire(60),
    ],
    ids=str,
)
@pytest.mark.parametrize("probe_states", [False, True])
def test_current_beyond_the_range_of_numbers_is_an_error(neuron_type, probe_states, simulator_class):
    if probe_states and hasattr(neuron_type, "max_value"):
        pytest.skip("step by step the clip makes a number of it, in Nengo too")
    with nengo.Network(seed=4) as net:
        stimulus = nengo.Node(np.zeros(3))
        ensemble = nengo.Ensemble(3, 1, neuron_type=neuron_type, gain=np.ones(3), bias=np.zeros(3))
        nengo.Connection(stimulus, ensemble.neurons, transform=1e6, synapse=None)
        nengo.Probe(ensemble.neurons, "voltage" if probe_states else "output")
    data = {stimulus: np.full((4, 3), 3e38)}
    with (
        simulator_class(net, progress_bar=False) as sim,
        np.errstate(over="ignore"),
        pytest.raises(FloatingPointError, match="invalid value"),
    ):
        sim.run_steps(4, data=data)


def test_a_rule_for_a_neuron_type_is_used(simulator_class):
    from nengo_cam.simulator import neurons, register_neurons

    class Half(nengo.RectifiedLinear):
        def step(self, dt, J, output):
            raise AssertionError("the rule runs instead")

    @register_neurons(Half)
    def half(neuron_type, dt, dtype):
        def step(J, output):
            output[...] = J / 2

        return step

    try:
        net = network(Half())
        with simulator_class(net, progress_bar=False) as sim:
            sim.run_steps(5)
        current = 100 * (np.linspace(1, 6, 30) * np.sin(0.2) + np.linspace(-1, 2, 30))
        np.testing.assert_allclose(sim.data[net.probe][0], current / 2, rtol=1e-5)
    finally:
        del neurons._NEURONS[Half]
