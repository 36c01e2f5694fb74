import collections

import nengo
import nengo_dl
import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import (
    ImageError,
    ModelTypeError,
    ParameterError,
    ResultError,
    SimulatorError,
    UnsupportedModelError,
)
from nengo_cam.measurement.cost import cost_until, energy, measure_cost
from nengo_cam.measurement.synaptic_operations import SynapseCounter, analog_fan_out, fan_out
from nengo_cam.models.macs import cnn_macs

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}


def measure(network, images, **options):
    return measure_cost(network, images, **{"n_steps": 20, "seed": 3, "progress_bar": False, **options})


# The weight graph, edge by edge


def weight_matrix(connection):
    """Weights (out, in) of a connection, by Nengo's own simulator: one unit vector after the other goes in."""
    size = connection.size_in
    with nengo.Network() as net:
        source = nengo.Node(lambda t: np.eye(size)[(round(t / 0.001) - 1) % size])
        target = nengo.Node(size_in=connection.size_out)
        nengo.Connection(source, target, transform=connection.transform, synapse=None)
        probe = nengo.Probe(target)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(size, progress_bar=False)
    return sim.data[probe].T


def weight_graph(network):
    """All edges: from (object, element) to (object, element), for weights that are not zero; an output has none."""
    edges = collections.defaultdict(list)
    for connection in network.net.all_connections:
        sources = np.arange(connection.pre_obj.size_out)[connection.pre_slice]
        targets = np.arange(connection.post_obj.size_in)[connection.post_slice]
        for j, i in np.argwhere(weight_matrix(connection)):
            edges[connection.pre_obj, sources[i]].append((connection.post_obj, targets[j]))
    return edges


def synapses_of(element, edges):
    """Walk from an element to all neurons and outputs behind it."""
    n = 0
    leading_on = {obj for obj, _ in edges}
    for target in edges.get(element, ()):
        stops = isinstance(target[0], nengo.ensemble.Neurons) or target[0] not in leading_on
        n += 1 if stops else synapses_of(target, edges)
    return n


def walked(network):
    edges = weight_graph(network)
    return {
        name: np.array([synapses_of((ensemble.neurons, i), edges) for i in range(ensemble.n_neurons)])
        for name, ensemble in network.spiking_layers.items()
    }


@pytest.fixture(scope="module")
def models(tf, make_model):
    layers = tf.keras.layers

    def conv(filters, size=3, **options):
        return layers.Conv2D(filters, size, **{"padding": "same", "activation": "relu", **options})

    def head():
        return layers.GlobalAveragePooling2D(), layers.Dense(2)

    def residual(x):
        return layers.Add()([conv(3)(x), x])

    return {
        "same": make_model(shape=(5, 4, 1), channels=(2, 3)),
        "strides": make_model(
            conv(3, strides=2), conv(2, (2, 3), strides=(1, 2)), *head(), shape=(5, 6, 1), channels=(2,)
        ),
        "valid, a row is left": make_model(
            conv(2, 2, strides=3, padding="valid"), *head(), shape=(6, 7, 1), channels=(2,)
        ),
        "pooling": make_model(
            layers.AveragePooling2D(2), conv(2), layers.AveragePooling2D(2, strides=1), conv(3), *head(),
            shape=(5, 6, 1), channels=(2,),
        ),
        "groups": make_model(conv(4, groups=2), *head(), shape=(4, 5, 1), channels=(4,)),
        "branches": make_model(residual, conv(2), *head(), shape=(4, 5, 1), channels=(3,)),
        "dense": make_model(
            layers.Conv2D(2, 3, activation="relu"), *head(), shape=(5, 5, 1), channels=(2,)
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["same", "strides", "valid, a row is left", "pooling", "groups", "branches", "dense"])
def test_fan_out_is_that_of_a_walk_over_the_weight_graph(models, name):
    network = ncam.convert(models[name])
    expected = walked(network)
    counted = fan_out(network)
    assert list(counted) == list(expected)
    for layer in expected:
        np.testing.assert_array_equal(counted[layer], expected[layer], err_msg=layer)
    # The test sees edges: not all neurons of a layer have as many.
    assert any(np.ptp(values) > 0 for values in expected.values())


def test_weights_that_are_zero_are_no_synapses(models):
    model = models["same"]
    kernel, bias = model.get_layer("conv1").get_weights()
    holes = np.random.default_rng(0).random(kernel.shape) < 0.5
    model.get_layer("conv1").set_weights([np.where(holes, 0, kernel), bias])
    try:
        network = ncam.convert(model)
        np.testing.assert_array_equal(fan_out(network)["conv0"], walked(network)["conv0"])
    finally:
        model.get_layer("conv1").set_weights([kernel, bias])


def test_transposed_and_channels_first_convolutions():
    rng = np.random.default_rng(0)
    # Nengo 3.2 has none.
    groups = {"groups": 2} if hasattr(nengo.Convolution, "groups") else {}
    for transform in (
        nengo.ConvolutionTranspose(3, (3, 4, 2), strides=(2, 1), padding="same"),
        nengo.ConvolutionTranspose(2, (3, 2, 2), strides=(2, 2), padding="valid", channels_last=True),
        nengo.ConvolutionTranspose(2, (2, 3, 4), strides=(2, 2), padding="same", channels_last=False),
        nengo.Convolution(4, (2, 5, 4), strides=(2, 2), padding="same", channels_last=False, **groups),
        nengo.Convolution(3, (7, 2), kernel_size=(4,), strides=(2,), padding="same"),
    ):
        init = np.where(rng.random(transform.kernel_shape) < 0.4, 0, rng.random(transform.kernel_shape))
        options = {name: getattr(transform, name) for name in ("kernel_size", "strides", "padding", "channels_last")}
        if isinstance(transform, nengo.Convolution) and groups:
            options["groups"] = transform.groups
        transform = type(transform)(transform.n_filters, transform.input_shape, init=init, **options)
        with nengo.Network() as net:
            source = nengo.Ensemble(transform.size_in, 1)
            target = nengo.Node(size_in=transform.size_out)
            connection = nengo.Connection(source.neurons, target, transform=transform, synapse=None)
        counted = SynapseCounter(net, "by hand").from_neurons(source)
        np.testing.assert_array_equal(counted, (weight_matrix(connection) != 0).sum(axis=0))


def test_fan_out_at_the_edges_in_closed_form(models):
    counted = fan_out(ncam.convert(models["same"]))
    # 3 x 3 windows on 5 x 4 cells: 2 of them see an end cell along an axis, 3 the others; each has 3 filters.
    by_axis = [np.array([2, 3, 3, 3, 2]), np.array([2, 3, 3, 2])]
    expected = 3 * np.multiply.outer(*by_axis)[..., None] * np.ones(2, int)
    np.testing.assert_array_equal(counted["conv0"], expected.ravel())
    # Through the pooling to each label.
    assert set(counted["conv1"]) == {3}


def test_selections_that_repeat_and_drop_elements(tf, make_model):
    layers = tf.keras.layers
    model = make_model(
        layers.UpSampling2D(2), layers.Cropping2D(((1, 0), (0, 2))), layers.Conv2D(2, 3, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(2), shape=(3, 4, 1), channels=(2,),
    )  # fmt: skip
    network = ncam.convert(model)
    if network.tensor_nodes:
        pytest.skip("not native in this version")
    for name, expected in walked(network).items():
        np.testing.assert_array_equal(fan_out(network)[name], expected)


# Operations


@pytest.mark.parametrize(
    ("simulator", "neurons"),
    [
        *((simulator, ncam.IntegrateAndFire()) for simulator in SIMULATORS.values()),
        (ncam.Simulator, ncam.SignedIntegrateAndFire()),
    ],
    ids=[*SIMULATORS, "signed"],
)
def test_operations_are_counted_spike_by_spike(models, simulator, neurons):
    images = np.random.default_rng(1).random((2, 5, 4, 1), dtype=np.float32)
    network = ncam.convert(models["same"], neurons=neurons, calibrate_on=images, target_rate=1500)
    result = measure(network, images, n_steps=8, simulator=simulator)
    walks = walked(network)
    with network.net:
        probes = {name: nengo.Probe(ensemble.neurons) for name, ensemble in network.spiking_layers.items()}
    network.net.seed, several = 3, 0
    for i, image in enumerate(images):
        network.input.output = image.ravel()
        with nengo.Simulator(network.net, progress_bar=False) as sim:
            sim.run_steps(8, progress_bar=False)
        for j, (name, probe) in enumerate(probes.items()):
            amplitude = network.spiking_layers[name].neuron_type.amplitude
            for t, outputs in enumerate(sim.data[probe]):
                n_spikes = n_operations = 0
                for neuron, output in enumerate(outputs):
                    n = round(abs(output) * 0.001 / amplitude)
                    several += n > 1
                    n_spikes += n
                    n_operations += n * walks[name][neuron]
                assert result.spikes.values[i, t, j] == n_spikes
                assert result.synaptic_operations.values[i, t, j] == n_operations
    assert several > 0
    assert result.synapses.values.tolist() == [walks[name].sum() for name in result.layer.values]
    assert result.neurons.values.tolist() == [len(walks[name]) for name in result.layer.values]


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
@pytest.mark.parametrize("bits", [None, 1])
def test_operations_of_levels_are_counted_change_by_change(models, simulator, bits):
    images = np.random.default_rng(1).random((2, 5, 4, 1), dtype=np.float32)
    network = ncam.convert(models["same"], neurons=ncam.SigmaDelta(bits), calibrate_on=images)
    result = measure(network, images, n_steps=8, simulator=simulator)
    walks, several = walked(network), 0
    with network.probed_neurons() as probes:
        for i, image in enumerate(images):
            network.input.output = image.ravel()
            with nengo.Simulator(network.net, progress_bar=False) as sim:
                sim.run_steps(8, progress_bar=False)
            for j, (name, probe) in enumerate(probes.items()):
                amplitude = network.spiking_layers[name].neuron_type.amplitude
                before = np.zeros(probe.size_in)
                for t, outputs in enumerate(sim.data[probe]):
                    n_spikes = n_operations = size = 0
                    for neuron, output in enumerate(outputs):
                        change = abs(round(output / amplitude) - round(before[neuron] / amplitude))
                        several += change > 1
                        size += change
                        n_spikes += change > 0
                        n_operations += (change > 0) * walks[name][neuron]
                    before = outputs
                    assert result.spikes.values[i, t, j] == n_spikes
                    assert result.spike_sizes.values[i, t, j] == size
                    assert result.synaptic_operations.values[i, t, j] == n_operations
    assert several > 0
    assert result.spikes.values[:, -1].sum() == 0 < result.spikes.values[:, 0].sum()
    assert result.attrs["readout"] == "level"
    until = cost_until(result, 0.002)
    np.testing.assert_array_equal(until.spike_sizes, result.spike_sizes[:, :2].sum("time"))
    assert until.spike_sizes.attrs["units"] == "quanta per image"


def test_spikes_are_those_of_spiking_cam(small_model, images):
    network = ncam.convert(small_model, calibrate_on=images)
    result = measure(network, images)
    spiking = ncam.spiking_cam(network, images, n_steps=20, seed=3, count_spikes=True, progress_bar=False)
    np.testing.assert_array_equal(result.spikes, spiking.spike_count)
    # They have no sizes.
    np.testing.assert_array_equal(result.spike_sizes, spiking.spike_count)
    np.testing.assert_array_equal(result.time, spiking.time)
    xr.testing.assert_equal(result, measure(network, images, minibatch_size=2))


def test_each_neuron_of_the_first_layer_has_what_the_cnn_multiplies(small_model, images):
    network = ncam.convert(small_model, calibrate_on=images)
    result = measure(network, images)
    # Without pooling in between, as many synapses as multiplications.
    assert result.synapses.sel(layer="conv0") == result.macs.sel(cnn_layer="conv1")
    assert result.analog_operations.sel(source="image") == result.macs.sel(cnn_layer="conv0")
    assert analog_fan_out(network)["image"].shape == (8 * 6 * 2,)
    rates = ncam.convert(small_model, neurons=None)
    assert list(analog_fan_out(rates)) == ["image", "conv0", "conv1"]
    assert measure(rates, images).sizes["layer"] == 0


# Multiplications of the CNN


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Conv2D", {"filters": 3, "kernel_size": 3}),
        ("Conv2D", {"filters": 4, "kernel_size": (2, 3), "strides": 2}),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": 2}),
        ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2}),
        ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "depth_multiplier": 3}),
        ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2}),
    ],
)
def test_macs_are_a_convolution_of_ones_with_ones(tf, kind, options, padding):
    inputs = tf.keras.Input((8, 7, 2))
    layer = getattr(tf.keras.layers, kind)(padding=padding, use_bias=False, name="layer", **options)
    model = tf.keras.Model(inputs, layer(inputs))
    layer.set_weights([np.ones_like(weights) for weights in layer.get_weights()])
    # Each product of a weight and a cell inside the map adds 1.
    assert cnn_macs(model) == {"layer": model.predict(np.ones((1, 8, 7, 2)), verbose=0).sum()}


def test_macs_of_other_layers(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((6, 5, 2))
    shared = layers.Dense(4, name="dense")
    x = layers.SeparableConv2D(3, 3, depth_multiplier=2, name="separable")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    model = tf.keras.Model(inputs, shared(layers.Dense(4, name="first")(shared(layers.Dense(4)(x)))))
    counts = cnn_macs(model)
    assert counts["separable"] == 4 * 3 * 9 * 4 + 4 * 3 * 4 * 3
    assert counts["first"] == counts["dense"] == counts["dense.1"] == 16
    causal = tf.keras.Sequential([tf.keras.Input((5, 1)), layers.Conv1D(1, 3, padding="causal", name="conv")])
    assert cnn_macs(causal) == {"conv": 1 + 2 + 3 + 3 + 3}


# Up to a time, and in joules


@pytest.fixture
def cost():
    values = np.arange(2 * 4 * 2).reshape(2, 4, 2)
    measured = ("image", "time", "layer")
    return xr.Dataset(
        {
            "spikes": (measured, values, {"units": "spikes per step"}),
            "synaptic_operations": (measured, 10 * values, {"units": "operations per step"}),
            "neurons": ("layer", [5, 6], {"units": "1"}),
            "analog_operations": ("source", [7], {"units": "operations per step"}),
            "macs": ("cnn_layer", [100], {"units": "operations per image"}),
        },
        {"time": np.arange(1, 5) * 0.001, "image": [0, 1]},
        {"dt": 0.001},
    )


def test_costs_up_to_a_time(cost):
    # 0.1 + 0.2 != 0.3, but 3 steps of 1 ms are 3 ms.
    same = cost_until(cost, 0.001 + 0.002)
    np.testing.assert_array_equal(same.spikes, cost.spikes[:, :3].sum("time"))
    assert same.analog_operations.item() == 21
    assert same.macs.item() == 100
    assert same.spikes.attrs["units"] == "spikes per image"
    assert same.neurons.attrs["units"] == "1"
    each = cost_until(cost, xr.DataArray([0.002, np.nan], dims="image"))
    np.testing.assert_array_equal(each.synaptic_operations[0], cost.synaptic_operations[0, :2].sum("time"))
    assert np.isnan(each.spikes[1]).all()
    np.testing.assert_array_equal(each.analog_operations.squeeze(), [14, np.nan])
    np.testing.assert_array_equal(each.until, [0.002, np.nan])
    assert (cost_until(cost, 0).spikes == 0).all()


def test_energy(cost):
    result = energy(cost, per_operation=2.0, per_mac=3.0, per_spike=5.0, per_update=7.0)
    for i, t, j in np.ndindex(2, 4, 2):
        n = int(cost.spikes[i, t, j])
        assert result.energy[i, t, j] == 2 * 10 * n + 5 * n + 7 * [5, 6][j]
    assert result.cnn_energy.item() == 300
    assert cost_until(result, 0.002).energy.attrs["units"] == "J per image"
    assert result.attrs["per_spike"] == 5


# Errors


def test_what_cannot_be_counted(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(
        layers.Lambda(lambda x: x * x, name="square"), layers.Conv2D(2, 3, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(2),
    )  # fmt: skip
    with pytest.warns(ncam.exceptions.NonSpikingWarning):
        network = ncam.convert(model)
    with pytest.raises(UnsupportedModelError, match=r"'square\.0' computes a function.*expected neurons and weights"):
        measure(network, images)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": 0}, ParameterError, "n_steps: expected a whole number of at least 1, got 0"),
        ({"minibatch_size": 0}, ParameterError, "minibatch_size"),
        ({"dt": 0}, ParameterError, "dt: expected a positive number of seconds"),
        ({"seed": -1}, ParameterError, "seed: expected a whole number from 0"),
        ({"simulator": "nengo"}, SimulatorError, "expected a class, got 'nengo'"),
    ],
)
def test_wrong_options(small_model, images, options, error, message):
    with pytest.raises(error, match=message):
        measure(ncam.convert(small_model), images, **options)


def test_wrong_objects(small_model, images, cost):
    for function in (fan_out, analog_fan_out):
        with pytest.raises(ModelTypeError, match="net: expected a CAMNetwork, got (tf_)?keras"):
            function(small_model)
    with pytest.raises(ModelTypeError, match="net: expected a CAMNetwork"):
        measure(small_model, images)
    with pytest.raises(ModelTypeError, match="Keras model"):
        cnn_macs("model")
    with pytest.raises(ImageError, match="Add the batch axis"):
        measure(ncam.convert(small_model), images[0])
    with pytest.raises(ResultError, match="cost: expected a Dataset with a time dimension"):
        cost_until(cost.isel(time=0), 1)
    with pytest.raises(ParameterError, match="time: expected seconds"):
        cost_until(cost, -1)
    with pytest.raises(ParameterError, match="time: expected seconds"):
        cost_until(cost, xr.DataArray([1, 2, 3], dims="image"))
    with pytest.raises(ParameterError, match="per_mac: expected joules"):
        energy(cost, per_operation=1, per_mac=-1)
    with pytest.raises(ResultError, match=r"got no \['macs'\]"):
        energy(cost.drop_vars("macs"), per_operation=1, per_mac=1)
