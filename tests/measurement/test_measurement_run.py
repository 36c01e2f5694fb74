from pathlib import Path

import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import ImageError, InputRangeWarning, ModelTypeError, ParameterError, SimulatorError
from nengo_cam.measurement.arguments import check_run
from nengo_cam.measurement.decoding import layer_decoder
from nengo_cam.measurement.run import Run

N_STEPS = 7
OPTIONS = {
    "n_steps": N_STEPS, "simulator": ncam.Simulator, "minibatch_size": 2, "dt": 0.001, "seed": 1, "progress_bar": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, calibrate_on=images)


@pytest.mark.parametrize("chunk_steps", [None, 1, 3, 50])
@pytest.mark.parametrize("minibatch_size", [1, 2, None])
def test_chunks_are_the_whole_run_once(net, images, chunk_steps, minibatch_size):
    """Pieced together they are what one simulator of all images gives at once; none holds padding."""
    options = {**OPTIONS, "chunk_steps": chunk_steps, "minibatch_size": minibatch_size}
    logits = np.full((3, N_STEPS, net.head.n_labels), np.nan)
    outputs = {name: np.full((3, N_STEPS, layer.n_neurons), np.nan) for name, layer in net.spiking_layers.items()}
    with Run(net, images[:3], **options, observe=net.spiking_layers) as run:
        assert list(run.layers) == list(net.spiking_layers)
        for rows, chunk in run.chunks():
            assert len(chunk.logits) == len(chunk.features) == rows.stop - rows.start
            assert np.isnan(logits[rows, chunk.steps]).all()
            logits[rows, chunk.steps] = chunk.logits
            assert list(chunk.observed) == list(outputs)
            for name, observed in chunk.observed.items():
                outputs[name][rows, chunk.steps] = observed
    with net.probed_neurons() as probes, ncam.Simulator(net.net, minibatch_size=3, seed=1, progress_bar=False) as sim:
        sim.run_steps(N_STEPS, data={net.input: images[:3].reshape(3, 1, -1)})
        np.testing.assert_allclose(logits, sim.data[net.logits], atol=1e-6 * np.abs(logits).max())
        for name, output in outputs.items():
            height = layer_decoder(net, name, 0.001).height
            np.testing.assert_allclose(output, sim.data[probes[name]])
            # A spike gives this much.
            np.testing.assert_allclose(output / height, np.rint(output / height), atol=1e-5)
            assert output.any()


def test_the_network_is_left_as_it_was(net, images):
    probes = list(net.net.probes)
    with pytest.raises(KeyboardInterrupt), Run(net, images, **OPTIONS, observe=net.spiking_layers) as run:
        assert len(net.net.probes) > len(probes)
        next(run.chunks())
        raise KeyboardInterrupt
    assert net.net.probes == probes
    assert run.backend.sim.closed
    # So is it when the simulator cannot be made.
    with pytest.raises(SimulatorError, match="expected a simulator class"):
        Run(net, images, **{**OPTIONS, "simulator": dict}, observe=net.spiking_layers).__enter__()
    assert net.net.probes == probes


def test_provenance(net, images):
    with Run(net, images, **OPTIONS) as run:
        assert run.provenance == {
            "simulator": "nengo_cam.Simulator", "dt": 0.001, "seed": 1, "readout": "mean", "spike_kind": "signed unit",
        }  # fmt: skip


def test_the_warning_is_for_the_caller_of_the_caller(net, images):
    def public(images):
        return Run(net, images, **OPTIONS)

    with pytest.warns(InputRangeWarning) as caught:
        public(255 * images)
    assert [warning.filename for warning in caught] == [__file__]
    assert "public(255 * images)" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": 0}, ParameterError, "n_steps: expected"),
        ({"minibatch_size": 0}, ParameterError, "minibatch_size: expected"),
        ({"chunk_steps": 1.5}, ParameterError, "chunk_steps: expected"),
        ({"dt": 0}, ParameterError, "dt: expected a positive number of seconds"),
        ({"seed": -1}, ParameterError, "seed: expected"),
    ],
)
def test_wrong_options(net, images, options, error, message):
    with pytest.raises(error, match=message):
        Run(net, images, **{**OPTIONS, **options})


def test_wrong_networks_images_and_simulators(net, small_model, images):
    with pytest.raises(ModelTypeError, match="mine: expected a CAMNetwork, got (tf_)?keras"):
        check_run(small_model, n_steps=1, minibatch_size=None, dt=0.001, seed=None, name="mine")
    with pytest.raises(ImageError, match="moving images have one frame per time step; expected 7 frames, got 3"):
        Run(net, images[:, None].repeat(3, axis=1), **OPTIONS)
    with (
        ncam.Simulator(net.net, minibatch_size=2, progress_bar=False) as sim,
        pytest.raises(SimulatorError, match="records only what it was built to record; expected a class"),
    ):
        Run(net, images, **{**OPTIONS, "simulator": sim}, observe=net.spiking_layers)
