import fractions

import nengo
import numpy as np
import pytest

from nengo_cam.checks.parameters import check_synapse, is_real, is_whole, number_twins
from nengo_cam.exceptions import ParameterError


@pytest.mark.parametrize(
    ("names", "numbered"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        # A name that is there already is not taken from who has it.
        (["a", "a", "a (2)", "a"], ["a", "a (3)", "a (2)", "a (4)"]),
        (["", ""], ["", " (2)"]),
    ],
)
def test_names_that_come_again_get_a_number(names, numbered):
    assert number_twins(names) == numbered
    assert number_twins(numbered) == numbered


@pytest.mark.parametrize(
    ("value", "real", "whole"),
    [
        (3, True, True),
        (np.int16(3), True, True),
        (3.0, True, False),
        (np.float32(0.5), True, False),
        (fractions.Fraction(1, 2), True, False),
        (np.nan, True, False),
        (True, False, False),
        (np.True_, False, False),
        (1j, False, False),
        ("3", False, False),
        (None, False, False),
        (np.array([3]), False, False),
    ],
)
def test_numbers_by_their_type(value, real, whole):
    assert (is_real(value), is_whole(value)) == (real, whole)


@pytest.mark.parametrize(
    "synapse", [None, 0.005, 1, np.float32(0.01), nengo.Alpha(0.1), nengo.synapses.LinearFilter([1], [1, 1])]
)
def test_synapses(synapse):
    check_synapse(synapse)


@pytest.mark.parametrize(
    "synapse", [0, -0.1, True, np.nan, np.inf, "slow", nengo.Lowpass, nengo.processes.WhiteNoise()]
)
def test_what_is_no_synapse(synapse):
    with pytest.raises(
        ParameterError, match="synapse: expected a nengo synapse, a positive time constant in seconds or None"
    ):
        check_synapse(synapse)
