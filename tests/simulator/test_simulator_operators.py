"""Operators of Nengo against the reference simulator."""

import nengo
import numpy as np
import pytest
import scipy.sparse

RNG = np.random.RandomState(0)


def moving(size, seed=0):
    """Make a node whose output differs at each step."""
    phases = np.random.RandomState(seed).uniform(0, 6, size)
    return nengo.Node(lambda t: np.sin(300 * t + phases), size_out=size)


def probed(obj, *args, **kwargs):
    return nengo.Probe(obj, *args, **kwargs)


def relu(n, **kwargs):
    kwargs.setdefault("gain", np.linspace(100, 200, n))
    kwargs.setdefault("bias", np.linspace(-20, 20, n))
    return nengo.Ensemble(n, 1, neuron_type=kwargs.pop("neuron_type", nengo.SpikingRectifiedLinear()), **kwargs)


@pytest.mark.parametrize("transform", [2.5, [1.0, -2.0, 0.5], RNG.uniform(-1, 1, (3, 3)), RNG.uniform(-1, 1, (5, 3))])
@pytest.mark.parametrize("synapse", [None, 0.004])
def test_dense_transforms_equal_the_reference(transform, synapse, same_as_nengo):
    with nengo.Network() as net:
        stimulus = moving(3)
        node = nengo.Node(size_in=5 if np.ndim(transform) == 2 and len(transform) == 5 else 3)
        neurons = relu(node.size_in).neurons
        nengo.Connection(stimulus, node, transform=transform, synapse=synapse)
        nengo.Connection(stimulus, neurons, transform=transform, synapse=synapse)
        probed(node), probed(neurons)
    same_as_nengo(net)


@pytest.mark.parametrize("pre", [slice(1, 4), slice(None, None, 2), [3, 0, 5], slice(None, None, -1)])
@pytest.mark.parametrize("post", [slice(2, None), [1, 4, 0], [2, 3, 1]])
def test_slices_on_either_side_equal_the_reference(pre, post, same_as_nengo):
    with nengo.Network() as net:
        stimulus, node, neurons = moving(6), nengo.Node(size_in=5), relu(5).neurons
        n_pre, n_post = len(np.arange(6)[pre]), len(np.arange(5)[post])
        for target in (node, neurons):
            nengo.Connection(stimulus[pre], target[post], transform=RNG.uniform(-1, 1, (n_post, n_pre)), synapse=None)
            nengo.Connection(stimulus[:5], target, synapse=0.002)
        probed(node), probed(neurons), probed(node[1:3]), probed(node[[4, 0]])
    same_as_nengo(net)


@pytest.mark.parametrize("form", ["scipy", "several per row", "one per row"])
def test_sparse_transforms_equal_the_reference(form, same_as_nengo):
    if form == "scipy":
        transform = nengo.Sparse((4, 6), init=scipy.sparse.random(4, 6, 0.5, "csr", random_state=1))
    elif form == "one per row":
        transform = nengo.Sparse((4, 6), indices=[(0, 5), (1, 2), (2, 2), (3, 0)], init=[1.0, -2.0, 3.0, 0.5])
    else:
        transform = nengo.Sparse((4, 6), indices=[(0, 5), (0, 2), (2, 2), (3, 0)], init=[1.0, -2.0, 3.0, 0.5])
    with nengo.Network() as net:
        stimulus, node = moving(6), nengo.Node(size_in=4)
        nengo.Connection(stimulus, node, transform=transform, synapse=None)
        probed(node)
    same_as_nengo(net)


@pytest.mark.parametrize("transform", [nengo.Convolution, nengo.ConvolutionTranspose])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(
    ("shape", "kernel", "strides"),
    [
        ((9,), (3,), (2,)),
        ((9,), (4,), (1,)),
        ((6, 7), (3, 2), (1, 1)),
        ((6, 7), (2, 3), (2, 3)),
        ((6, 7), (3, 3), (2, 2)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolutions_equal_the_reference(
    transform, padding, channels_last, shape, kernel, strides, dtype, same_as_nengo, simulator_class
):
    full = (*shape, 3) if channels_last else (3, *shape)
    conv = transform(
        4, full, kernel_size=kernel, strides=strides, padding=padding, channels_last=channels_last,
        init=RNG.uniform(-1, 1, (*kernel, 3, 4)),
    )  # fmt: skip
    with nengo.Network(seed=1) as net:
        stimulus, node = moving(conv.size_in), nengo.Node(size_in=conv.size_out)
        nengo.Connection(stimulus, node, transform=conv, synapse=None)
        probe = probed(node)
    expected = same_as_nengo(net, 9)[probe]
    with simulator_class(net, dtype=dtype, progress_bar=False) as sim:
        sim.run_steps(9)
    np.testing.assert_allclose(sim.data[probe], expected, atol=1e-5)


@pytest.mark.skipif(not hasattr(nengo.Convolution, "groups"), reason="Nengo 3.2 has no groups")
@pytest.mark.parametrize(("channels", "filters", "groups"), [(4, 6, 2), (4, 4, 4), (4, 8, 4)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_grouped_convolutions_equal_the_reference(
    channels, filters, groups, strides, dtype, same_as_nengo, simulator_class
):
    conv = nengo.Convolution(
        filters, (5, 6, channels), strides=strides, groups=groups, padding="same",
        init=RNG.uniform(-1, 1, (3, 3, channels // groups, filters)),
    )  # fmt: skip
    with nengo.Network(seed=1) as net:
        stimulus, node = moving(conv.size_in), nengo.Node(size_in=conv.size_out)
        nengo.Connection(stimulus, node, transform=conv, synapse=None)
        probe = probed(node)
    expected = same_as_nengo(net, 9)[probe]
    with simulator_class(net, dtype=dtype, progress_bar=False) as sim:
        sim.run_steps(9)
    np.testing.assert_allclose(sim.data[probe], expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_3d_convolution_equals_a_loop(dtype, padding, simulator_class):
    kernel = RNG.uniform(-1, 1, (2, 3, 2, 2, 3))
    conv = nengo.Convolution(3, (4, 5, 4, 2), kernel_size=(2, 3, 2), strides=(1, 2, 1), padding=padding, init=kernel)
    with nengo.Network(seed=1) as net:
        stimulus, node = nengo.Node(np.zeros(conv.size_in)), nengo.Node(size_in=conv.size_out)
        nengo.Connection(stimulus, node, transform=conv, synapse=None)
        probe = probed(node)
    frame = RNG.uniform(-1, 1, conv.input_shape.shape)
    with simulator_class(net, dtype=dtype, progress_bar=False) as sim:
        sim.run_steps(2, data={stimulus: frame.reshape(1, 1, -1)})
    # Padding of "same": one row behind axes 0 and 2, one on either side of axis 1.
    padded = np.pad(frame, ((0, 1), (1, 1), (0, 1), (0, 0))) if padding == "same" else frame
    expected = np.zeros(conv.output_shape.shape)
    for z, y, x in np.ndindex(*expected.shape[:3]):
        window = padded[z : z + 2, 2 * y : 2 * y + 3, x : x + 2]
        expected[z, y, x] = np.einsum("zyxc,zyxcf->f", window, kernel)
    np.testing.assert_allclose(sim.data[probe][1].reshape(expected.shape), expected, atol=1e-5)


def test_several_terms_and_partial_terms_add_up(same_as_nengo):
    with nengo.Network() as net:
        constant, stimulus, node = nengo.Node([0.5, -1.0, 2.0]), moving(3), nengo.Node(size_in=6)
        nengo.Connection(constant, node[:3], synapse=None)
        nengo.Connection(stimulus, node[2:5], synapse=None)
        nengo.Connection(stimulus[1], node[5], synapse=0.003, transform=2)
        nengo.Connection(constant, node[[0, 5, 3]], synapse=None)
        probed(node), probed(node[1:4]), probed(constant), probed(constant, synapse=0.01)
    same_as_nengo(net)


def test_slices_may_feed_other_slices_of_the_same_node(same_as_nengo):
    with nengo.Network() as net:
        stimulus, node = moving(2), nengo.Node(size_in=4)
        nengo.Connection(stimulus, node[:2], synapse=None)
        nengo.Connection(node[:2], node[2:], synapse=None, transform=-3)
        probed(node)
    same_as_nengo(net)


def test_ensembles_with_encoders_and_decoders_equal_the_reference(same_as_nengo):
    with nengo.Network(seed=2) as net:
        stimulus = moving(2)
        a = nengo.Ensemble(60, 2, radius=1.4)
        b = nengo.Ensemble(50, 1, neuron_type=nengo.AdaptiveLIF())
        c = nengo.Ensemble(1, 1, neuron_type=nengo.LIF())
        d = nengo.Ensemble(30, 2, neuron_type=nengo.Direct())
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b, function=lambda x: x[0] * x[1], synapse=0.01)
        nengo.Connection(a[1], c, solver=nengo.solvers.LstsqL2(weights=True))
        nengo.Connection(a, d, synapse=nengo.Alpha(0.003))
        nengo.Connection(d, b, function=np.prod)
        nengo.Connection(a.neurons[:10], b.neurons[20:30], transform=0.001, synapse=0.005)
        for obj in (a, b, d, a.neurons, b.neurons, c.neurons):
            probed(obj, synapse=0.01 if isinstance(obj, nengo.Ensemble) else None)
        probed(b.neurons, "voltage"), probed(a.neurons[3:7], "refractory_time"), probed(b.neurons, "input")
    same_as_nengo(net, rtol=1e-7)


def test_ensemble_arrays_equal_the_reference(same_as_nengo):
    with nengo.Network(seed=2) as net:
        stimulus = moving(4)
        array = nengo.networks.EnsembleArray(20, 4)
        nengo.Connection(stimulus, array.input)
        probed(array.output, synapse=0.01)
    same_as_nengo(net)


def test_node_functions_run_in_the_order_of_time(simulator_class):
    seen = []
    with nengo.Network() as net:
        source = nengo.Node(lambda t: seen.append(t) or t, size_out=1)
        sink = nengo.Node(lambda t, x: seen.append((round(t, 6), float(x[0]))), size_in=1, size_out=0)
        nengo.Connection(source, sink, synapse=None)
    with simulator_class(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(3)
    assert seen[:3] == pytest.approx([0.001, 0.002, 0.003])
    assert seen[3:] == [(0.001, 0.001), (0.002, 0.002), (0.003, 0.003)]


@pytest.mark.parametrize("result", [np.nan, None, np.inf])
def test_a_node_function_that_returns_no_number_is_reported(result, simulator_class):
    calls = []

    def late(t):
        calls.append(t)
        return 0 if t < 0.002 else result

    with nengo.Network() as net:
        nengo.Node(late, size_out=1)
    with (
        simulator_class(net, progress_bar=False) as sim,
        pytest.raises(nengo.exceptions.SimulationError, match="'.*late' returned non-finite value"),
    ):
        sim.run_steps(3)
