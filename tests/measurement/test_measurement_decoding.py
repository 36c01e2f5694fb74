import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam.exceptions import ParameterError
from nengo_cam.measurement import Recorder, record
from nengo_cam.measurement.decoding import (
    Decoder,
    SpikeReader,
    choose_layers,
    feature_decoder,
    layer_decoder,
    network_readout,
    neuron_layers,
    spike_kinds,
)
from nengo_cam.neurons import SpikeCode


class MeanOutput(Recorder):
    """Mean output of each layer over the run."""

    def observes(self, net):
        return list(neuron_layers(net))

    def begin(self, run):
        self.run = run
        self.sums = {name: np.zeros((len(run.images), layer.n_neurons)) for name, layer in run.layers.items()}

    def add(self, rows, chunk):
        for name, output in chunk.observed.items():
            self.sums[name][rows] += output.sum(axis=1, dtype=float)

    def result(self):
        return {name: total / self.run.n_steps for name, total in self.sums.items()}


def keras_activity(tf, model, name, images, call=0):
    tensor = model.get_layer(name).get_output_at(call)
    return tf.keras.Model(model.input, tensor).predict(images, verbose=0).reshape(len(images), -1)


def test_a_decoder_against_a_loop():
    rng = np.random.default_rng(0)
    decoder = Decoder(SpikeCode("mean", "signed unit", 0.25), np.array([2.0, 0.5, 4.0]))
    output = 0.25 * rng.integers(-3, 4, size=(2, 5, 12)).astype(float)
    activity, spikes = decoder.activity(output), decoder.sizes(output + 1e-4)
    totals, sizes = SpikeReader(decoder).totals(slice(0, 5), output)
    for i, t in np.ndindex(2, 5):
        n = 0
        for j in range(12):
            assert activity[i, t, j] == output[i, t, j] / [2.0, 0.5, 4.0][j % 3]
            assert spikes[i, t, j] == round(output[i, t, j] / 0.25)
            n += abs(round(output[i, t, j] / 0.25))
        assert totals[i, t] == sizes[i, t] == pytest.approx(n)
    np.testing.assert_array_equal(decoder.events(spikes), np.abs(spikes))
    single = Decoder(SpikeCode("mean", "unit", 0.25), np.ones(1)).sizes(output.astype("float32"))
    assert single.dtype == np.float32


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_changes_of_levels_are_spikes_whatever_the_chunks(data):
    """One event for each change, counted by a loop over a run of two minibatches."""
    n_images, n_steps, n_neurons = 3, 9, 4
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    # Often the same as before.
    levels = np.cumsum(rng.choice([0, 0, 0, 1, -2, 6], size=(2, n_images, n_steps, n_neurons)), axis=2)
    reader = SpikeReader(Decoder(SpikeCode("level", "graded", 0.3), np.ones(1)))
    cuts = sorted(data.draw(st.sets(st.integers(1, n_steps - 1))))
    for minibatch in levels:
        found = []
        for start, stop in zip([0, *cuts], [*cuts, n_steps]):
            output = (0.3 * minibatch[:, start:stop]).astype(data.draw(st.sampled_from(["float32", "float64"])))
            if (output == output[:, :1]).all() and data.draw(st.booleans()):
                # As the simulator gives steps that have settled.
                output = np.broadcast_to(output[:, :1], output.shape)
            found.append(reader.totals(slice(start, stop), output))
        events, sizes = np.concatenate(found, axis=2)
        for i in range(n_images):
            before = [0] * n_neurons
            for t in range(n_steps):
                now = minibatch[i, t].tolist()
                assert events[i, t] == sum(a != b for a, b in zip(now, before))
                assert sizes[i, t] == sum(abs(a - b) for a, b in zip(now, before))
                before = now


def with_types(net, **types):
    """Give layers other neurons than those that they were converted to."""
    for name, neuron_type in types.items():
        neuron_layers(net)[name].neuron_type = neuron_type
    return net


@pytest.mark.parametrize(
    ("types", "readout", "kinds"),
    [
        ({}, "mean", "unit"),
        ({"conv0": ncam.SignedIntegrateAndFire()}, "mean", "signed unit, unit"),
        ({"conv1": ncam.SigmaDelta(bits=1)}, "level", "unit, power of two"),
        ({"conv0": ncam.SigmaDelta()}, "mean", "graded, unit"),
        ({"conv0": ncam.SigmaDelta(1), "conv1": ncam.SigmaDelta(None)}, "level", "power of two, graded"),
        # What does not spike moves as what it is fed with.
        ({"conv1": nengo.RectifiedLinear()}, "mean", "unit"),
        ({"conv0": ncam.SigmaDelta(), "conv1": nengo.RectifiedLinear()}, "level", "graded"),
        ({"conv0": nengo.RectifiedLinear(), "conv1": nengo.RectifiedLinear()}, "level", "none"),
    ],
)
def test_how_a_network_is_read(small_model, types, readout, kinds):
    net = with_types(ncam.convert(small_model, neurons=ncam.IntegrateAndFire()), **types)
    assert (network_readout(net), spike_kinds(net)) == (readout, kinds)


def test_branches_that_are_pooled_together_are_read_by_the_spikes_among_them(tf, make_model):
    layers = tf.keras.layers
    model = make_model(
        lambda x: layers.Add()([layers.Conv2D(5, 1, activation="relu", name="branch")(x), x]),
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    )  # fmt: skip
    net = ncam.convert(model, neurons=ncam.SigmaDelta())
    assert network_readout(net) == "level"
    assert network_readout(with_types(net, conv1=ncam.IntegrateAndFire())) == "mean"
    assert network_readout(with_types(net, conv1=ncam.SigmaDelta(), branch=ncam.IntegrateAndFire())) == "mean"


def test_rates_of_all_layers_are_kerass_in_the_units_of_the_users_model(tf, small_model, images):
    """Of rate neurons too, whose channels were balanced: nothing that spikes is needed."""
    net = ncam.convert(small_model, neurons=None, calibrate_on=images)
    assert all(np.ptp(factors) > 0.1 for factors in net.channel_factors.values())
    (outputs,) = record(net, images, [MeanOutput()], n_steps=2, seed=0, progress_bar=False)
    assert list(outputs) == ["conv0", "conv1"]
    for name, output in outputs.items():
        decoder = layer_decoder(net, name, 0.001)
        assert decoder.height is None
        expected = keras_activity(tf, small_model, name, images)
        np.testing.assert_allclose(decoder.activity(output), expected, rtol=1e-3, atol=1e-4 * expected.max())
        assert not np.allclose(output, expected, rtol=1e-3)


def test_spikes_tend_to_kerass_activity(tf, small_model, images):
    net = ncam.convert(small_model, calibrate_on=images, target_rate=1000)
    (outputs,) = record(net, images, [MeanOutput()], n_steps=500, seed=0, progress_bar=False)
    for name, output in outputs.items():
        decoder = layer_decoder(net, name, 0.001)
        counts = 500 * output / decoder.height
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-2)
        expected = keras_activity(tf, small_model, name, images)
        np.testing.assert_allclose(decoder.activity(output), expected, atol=0.02 * expected.max())


def test_features_and_the_layer_that_they_come_from_agree(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    features, layer = feature_decoder(net), layer_decoder(net, "conv1", 0.001)
    np.testing.assert_allclose(features.factors, layer.factors, rtol=1e-6)
    assert (features.height, features.factors.dtype) == (None, np.float32)


def test_a_layer_that_is_called_again_has_its_factors_twice(tf, images):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2), name="image")
    conv = layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")
    x = layers.GlobalAveragePooling2D(name="gap")(conv(conv(inputs)))
    model = tf.keras.Model(inputs, layers.Dense(2, name="readout")(x))
    net = ncam.convert(model, calibrate_on=images, split_shared_weights=True)
    assert list(neuron_layers(net)) == ["conv", "conv.1"]
    net.channel_factors["conv"] = np.array([2.0, 3.0])
    for name in ("conv", "conv.1"):
        np.testing.assert_array_equal(layer_decoder(net, name, 0.001).factors, [2.0, 3.0])
        amplitude = neuron_layers(net)[name].neuron_type.amplitude
        assert layer_decoder(net, name, 0.002).height == pytest.approx(amplitude / 0.002)


def test_layers_by_name(small_model):
    net = ncam.convert(small_model)
    assert list(choose_layers(net, ["conv1", "conv0", "conv1"])) == ["conv0", "conv1"]
    assert list(choose_layers(net, "conv1")) == ["conv1"]
    assert choose_layers(net, ()) == {}
    with pytest.raises(
        ParameterError, match=r"observe: 'gap' is not .*expected some of \['conv0', 'conv1'\], got 'gap'"
    ):
        choose_layers(net, ["conv0", "gap"])


def test_probes_are_there_for_a_while(small_model):
    net = ncam.convert(small_model)
    before = list(net.net.probes)
    with pytest.raises(KeyboardInterrupt), net.probed_neurons(choose_layers(net, "conv1")) as probes:
        assert [probe.target for probe in probes.values()] == [neuron_layers(net)["conv1"].neurons]
        assert net.net.probes[len(before) :] == list(probes.values())
        # What is made in the meantime is no part of the network.
        assert not nengo.Network.context
        raise KeyboardInterrupt
    assert net.net.probes == before
