"""The simulator as its users see it: shapes, feeding, recording, state, errors."""

import nengo
import numpy as np
import pytest

from nengo_cam.exceptions import ParameterError, SimulatorError


@pytest.fixture
def net():
    with nengo.Network(seed=0) as net:
        net.a = nengo.Node([0.5, -1.0], label="a")
        net.b = nengo.Node(lambda t: t, size_out=1, label="b")
        net.out = nengo.Node(size_in=3, label="out")
        net.conn = nengo.Connection(net.a, net.out[:2], transform=[[1, 2], [3, 4]], synapse=0.01)
        nengo.Connection(net.b, net.out[2], synapse=None)
        net.ensemble = nengo.Ensemble(12, 2, label="ensemble")
        nengo.Connection(net.a, net.ensemble)
        net.probe = nengo.Probe(net.out)
        net.sparse = nengo.Probe(net.out, sample_every=0.003)
        net.spikes = nengo.Probe(net.ensemble.neurons)
    return net


def test_without_a_minibatch_there_is_no_axis_for_items(net, simulator_class):
    with simulator_class(net, progress_bar=False) as sim:
        sim.run_steps(7)
        assert sim.data[net.probe].shape == (7, 3)
        assert sim.data[net.probe].dtype == np.float32
        np.testing.assert_allclose(sim.data[net.probe][:, 2], sim.trange(), rtol=1e-6)
        (chunk,) = sim.iter_steps(2)
    assert chunk[net.probe].shape == (1, 2, 3)
    assert sim.data[net.probe].shape == (7, 3)


def test_with_a_minibatch_all_probes_have_an_axis_for_items(net, simulator_class):
    with simulator_class(net, minibatch_size=4, progress_bar=False) as sim:
        sim.run_steps(7)
    assert sim.data[net.probe].shape == (4, 7, 3)
    assert sim.data[net.spikes].shape == (4, 7, 12)
    assert not sim.data[net.probe].flags.writeable


def test_sample_every_takes_the_steps_that_the_reference_takes(net, simulator_class):
    with nengo.Simulator(net, progress_bar=False) as reference:
        reference.run_steps(20)
    with simulator_class(net, dtype="float64", progress_bar=False, memory_budget=1) as sim:
        for n_steps in (2, 11, 7):
            sim.run_steps(n_steps)
        np.testing.assert_allclose(sim.data[net.sparse], reference.data[net.sparse], rtol=1e-12)
        np.testing.assert_array_equal(sim.trange(sample_every=0.003), reference.trange(sample_every=0.003))
        np.testing.assert_array_equal(sim.trange(), reference.trange())


def test_data_replace_what_nodes_say_themselves(net, simulator_class):
    fed = np.random.default_rng(0).normal(size=(3, 6, 1))
    with simulator_class(net, minibatch_size=3, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(6, data={net.b: fed})
        np.testing.assert_array_equal(sim.data[net.probe][:, :, 2:], fed)
        sim.run_steps(2)
        np.testing.assert_allclose(sim.data[net.probe][:, 6:, 2], [[0.007, 0.008]] * 3)


def test_one_step_of_data_is_held(net, simulator_class):
    held = np.array([1.0, 2.0]).reshape(2, 1, 1)
    with simulator_class(net, minibatch_size=2, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(5, data={net.b: held, net.a: np.zeros((2, 1, 2))})
        np.testing.assert_array_equal(sim.data[net.probe][:, :, 2], [[1] * 5, [2] * 5])
        assert not sim.data[net.probe][:, :, :2].any()
        # The same nodes with other values: nothing is remembered.
        sim.run_steps(5, data={net.b: 3 * held, net.a: np.zeros((2, 1, 2))})
        np.testing.assert_array_equal(sim.data[net.probe][:, 5:, 2], [[3] * 5, [6] * 5])


def test_parameters_are_the_reference_s_own(net, simulator_class):
    with (
        nengo.Simulator(net, progress_bar=False) as reference,
        simulator_class(net, dtype="float64", progress_bar=False) as sim,
    ):
        np.testing.assert_array_equal(sim.data[net.conn].weights, [[1, 2], [3, 4]])
        for name in ("gain", "bias", "encoders", "eval_points", "max_rates", "intercepts", "scaled_encoders"):
            np.testing.assert_array_equal(
                getattr(sim.data[net.ensemble], name), getattr(reference.data[net.ensemble], name)
            )
        assert sim.seed == reference.seed
        assert net.probe in sim.data
    assert sim.model.toplevel is net


def test_parameters_of_ensembles_of_neurons_are_built_when_asked_for(simulator_class):
    with nengo.Network(seed=3) as net:
        ensemble = nengo.Ensemble(50, 1, gain=nengo.dists.Choice([2]), bias=np.linspace(1.5, 2, 50))
        nengo.Probe(ensemble.neurons)
    before = ensemble.eval_points, ensemble.encoders, ensemble.n_eval_points
    with (
        nengo.Simulator(net, progress_bar=False) as reference,
        simulator_class(net, dtype="float64", progress_bar=False) as sim,
    ):
        for name in ("gain", "bias", "encoders", "eval_points", "max_rates", "intercepts", "scaled_encoders"):
            np.testing.assert_array_equal(getattr(sim.data[ensemble], name), getattr(reference.data[ensemble], name))
    assert (ensemble.eval_points, ensemble.encoders, ensemble.n_eval_points) == before


def test_weights_of_pooling_are_the_whole_kernel(simulator_class):
    kernel = np.tile(np.eye(3) / 4, (2, 2, 1, 1))
    conv = nengo.Convolution(3, (4, 6, 3), kernel_size=(2, 2), strides=(2, 2), init=kernel)
    with nengo.Network() as net:
        connection = nengo.Connection(nengo.Node(np.zeros(72)), nengo.Node(size_in=18), transform=conv, synapse=None)
    with simulator_class(net, progress_bar=False) as sim:
        np.testing.assert_array_equal(sim.data[connection].weights, kernel)


def test_reset_goes_back_to_the_start(net, simulator_class):
    with simulator_class(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(9)
        first = {probe: sim.data[probe] for probe in net.all_probes}
        sim.reset()
        assert (sim.n_steps, sim.time) == (0, 0)
        assert len(sim.data[net.probe]) == 0
        sim.run_steps(9)
        for probe, expected in first.items():
            np.testing.assert_array_equal(sim.data[probe], expected)
        sim.reset(include_probes=False)
        np.testing.assert_array_equal(sim.data[net.probe], first[net.probe])
        sim.clear_probes()
        sim.run_steps(9)
        np.testing.assert_array_equal(sim.data[net.probe], first[net.probe])
        sim.clear_probes()
        assert len(sim.data[net.probe]) == 0
        assert sim.n_steps == 9


def test_run_rounds_to_steps(net, simulator_class):
    with simulator_class(net, dt=0.002, progress_bar=False) as sim:
        sim.run(0.0091)
        assert sim.n_steps == 5
        assert sim.time == pytest.approx(0.01)
        sim.step()
        assert sim.n_steps == 6
        with pytest.warns(UserWarning, match="running for 0 timesteps"):
            sim.run(0.0001)
        with pytest.raises(nengo.exceptions.ValidationError, match="Must be positive"):
            sim.run(-1.0)


def test_iter_steps_records_nothing_and_stops_where_it_is_left(net, simulator_class):
    with simulator_class(net, progress_bar=False) as sim:
        for chunk in sim.iter_steps(100, chunk_steps=4):
            assert chunk[net.probe].shape == (1, 4, 3)
            break
        assert sim.n_steps == 4
        assert len(sim.data[net.probe]) == 0


def test_the_budget_bounds_what_a_chunk_takes(simulator_class):
    with nengo.Network() as net:
        nengo.Probe(nengo.Ensemble(1000, 1, neuron_type=nengo.SpikingRectifiedLinear()).neurons)
    lengths = []
    for budget in (1, 200_000, 10**9):
        with simulator_class(net, minibatch_size=5, memory_budget=budget, progress_bar=False) as sim:
            lengths.append(max(next(iter(chunk.values())).shape[1] for chunk in sim.iter_steps(100)))
    assert lengths[0] == 1
    assert 1 < lengths[1] <= 200_000 / (5 * 1000 * 4)
    assert lengths[2] == 100


def test_a_closed_simulator_does_not_run(net, simulator_class):
    with simulator_class(net, progress_bar=False) as sim:
        sim.run_steps(2)
    assert sim.closed
    assert sim.data[net.probe].shape == (2, 3)
    for call in (lambda: sim.run_steps(1), sim.reset, lambda: sim.run(0.1), sim.__enter__):
        with pytest.raises(nengo.exceptions.SimulatorClosed, match="because the simulator is closed"):
            call()


@pytest.mark.parametrize(
    ("shape", "minibatch_size"), [((2, 5, 1), 3), ((3, 4, 1), 3), ((3, 5, 2), 3), ((5, 1), 3), ((2, 5, 1), None)]
)
def test_data_that_do_not_fit_are_refused(net, simulator_class, shape, minibatch_size):
    with simulator_class(net, minibatch_size=minibatch_size, progress_bar=False) as sim:
        with pytest.raises(ParameterError, match=r"data: array for <Node 'b'.*> does not fit; expected shape"):
            sim.run_steps(5, data={net.b: np.zeros(shape)})
        assert sim.n_steps == 0


def test_only_nodes_that_start_something_are_fed(net, simulator_class):
    with simulator_class(net, progress_bar=False) as sim:
        for key in (net.out, net.ensemble, "b", nengo.Node(np.zeros(1), add_to_container=False)):
            with pytest.raises(ParameterError, match="cannot be fed"):
                sim.run_steps(5, data={key: np.zeros((1, 5, 3))})


@pytest.mark.parametrize(
    ("name", "value"),
    [("dt", 0), ("dt", -0.001), ("minibatch_size", 0), ("memory_budget", 0), ("dtype", "int32"), ("dtype", "float16")],
)
def test_arguments_out_of_range_are_refused(net, simulator_class, name, value):
    with pytest.raises(ParameterError, match=f"{name}: expected"):
        simulator_class(net, progress_bar=False, **{name: value})


@pytest.mark.parametrize("n_steps", [0, -1, 2.5])
def test_numbers_of_steps_out_of_range_are_refused(net, simulator_class, n_steps):
    with simulator_class(net, progress_bar=False) as sim, pytest.raises(ParameterError, match="n_steps: expected"):
        sim.run_steps(n_steps)


@pytest.mark.parametrize("synapse", [None, 0.01])
def test_recurrence_is_refused_by_name(simulator_class, synapse):
    with nengo.Network(label="loop") as net:
        stimulus = nengo.Node([1.0], label="stimulus")
        a = nengo.Ensemble(10, 1, label="here")
        b = nengo.Ensemble(10, 1, label="there")
        c = nengo.Node(size_in=1, label="behind")
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b, synapse=0.01)
        nengo.Connection(b.neurons, a.neurons, transform=np.ones((10, 10)), synapse=0.01)
        nengo.Connection(b, c, synapse=synapse)
    with pytest.raises(SimulatorError, match=r"cycle through \[.*'here'.*'there'.*\].*Use nengo_dl.Simulator") as info:
        simulator_class(net, progress_bar=False)
    assert "stimulus" not in str(info.value)
    assert "behind" not in str(info.value)


def test_a_node_that_feeds_itself_is_refused(simulator_class):
    with nengo.Network() as net:
        node = nengo.Node(lambda t, x: x, size_in=1, label="itself")
        nengo.Connection(node, node, synapse=0.1)
    with pytest.raises(SimulatorError, match="'itself'"):
        simulator_class(net, progress_bar=False)


def test_learning_is_refused_by_name(simulator_class):
    with nengo.Network() as net:
        a, b = nengo.Ensemble(10, 1, label="pre"), nengo.Node(size_in=1, label="post")
        error = nengo.Node([0.0])
        conn = nengo.Connection(a, b, learning_rule_type=nengo.PES())
        nengo.Connection(error, conn.learning_rule)
    with pytest.raises(SimulatorError, match=r"learning rules, got them on \[.*'pre'.*'post'.*nengo_dl.Simulator"):
        simulator_class(net, progress_bar=False)


def test_an_operator_without_a_rule_is_refused(simulator_class):
    class Strange(nengo.builder.Operator):
        def __init__(self, signal):
            super().__init__()
            self.sets, self.incs, self.reads, self.updates = [signal], [], [], []

        def make_step(self, signals, dt, rng):
            return lambda: None

    model = nengo.builder.Model()
    model.add_op(Strange(nengo.builder.Signal(shape=2, name="odd")))
    with pytest.raises(SimulatorError, match="got Strange. Use nengo_dl.Simulator"):
        simulator_class(None, model=model, progress_bar=False)


def test_tensor_nodes_run_for_all_steps_at_once(nengo_dl, simulator_class):
    shapes = []

    def function(x):
        shapes.append(tuple(x.shape))
        return 2 * x[:, ::-1]

    with nengo.Network() as net:
        stimulus = nengo.Node(np.zeros(3))
        node = nengo_dl.TensorNode(function, shape_in=(3,), shape_out=(3,), pass_time=False)
        timed = nengo_dl.TensorNode(lambda t, x: x + t, shape_in=(3,), shape_out=(3,))
        nengo.Connection(stimulus, node, synapse=None)
        nengo.Connection(node, timed, synapse=None)
        probe = nengo.Probe(timed)
    shapes.clear()
    x = np.random.default_rng(0).normal(size=(2, 5, 3))
    with simulator_class(net, minibatch_size=2, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(5, data={stimulus: x})
    assert shapes == [(10, 3)]
    np.testing.assert_allclose(sim.data[probe], 2 * x[:, :, ::-1] + sim.trange()[:, None], rtol=1e-12)
