"""Comparison with the reference simulator, which many tests of the simulator share."""

import nengo
import numpy as np
import pytest

import nengo_cam as ncam

ncam.compat.import_nengo_dl()


@pytest.fixture(scope="session")
def nengo_dl():
    return ncam.compat.import_nengo_dl()


@pytest.fixture(scope="session")
def simulator_class():
    from nengo_cam.simulator import Simulator

    return Simulator


@pytest.fixture(scope="session")
def same_as_nengo(simulator_class):
    """Run a network on the reference and on ours in double precision, all of it at once and in odd chunks."""

    def check(net, n_steps=40, rtol=1e-9, atol=1e-12, **kwargs):
        if net.seed is None:
            net.seed = 5
        with nengo.Simulator(net, progress_bar=False, **kwargs) as reference:
            reference.run_steps(n_steps)
        with simulator_class(net, dtype="float64", progress_bar=False, **kwargs) as sim:
            sim.run_steps(n_steps)
            first = {probe: np.array(sim.data[probe]) for probe in net.all_probes}
            sim.reset()
            pieces = [
                {probe: array[0] for probe, array in chunk.items()} for chunk in sim.iter_steps(n_steps, chunk_steps=7)
            ]
        for probe in net.all_probes:
            expected = reference.data[probe]
            assert first[probe].shape == expected.shape
            np.testing.assert_allclose(first[probe], expected, rtol=rtol, atol=atol)
            np.testing.assert_array_equal(np.concatenate([piece[probe] for piece in pieces]), first[probe])
        return first

    return check
