"""Neuron types that Nengo lacks, known to Nengo's and NengoDL's simulators.

==================  ==========================================================================================
Module              Holds
==================  ==========================================================================================
integrate_and_fire  `IntegrateAndFire`, `SignedIntegrateAndFire`
sigma_delta         `SigmaDelta`
clipping            neurons with a largest output, for clipped ReLU; `clipped` finds the one for other neurons
spikes              `SpikeCode`: how output is read, what a spike is, which events were sent
params              parameters that Nengo does not check
nengo_dl_builders   how NengoDL runs them; imported with NengoDL, not before
==================  ==========================================================================================
"""

import importlib

from .. import compat
from .clipping import ClippedIntegrateAndFire, ClippedRectifiedLinear, SignedClippedIntegrateAndFire, clipped
from .integrate_and_fire import IntegrateAndFire, SignedIntegrateAndFire
from .sigma_delta import SigmaDelta
from .spikes import SpikeCode, spike_code, spike_height

__all__ = [
    "ClippedIntegrateAndFire",
    "ClippedRectifiedLinear",
    "IntegrateAndFire",
    "SigmaDelta",
    "SignedClippedIntegrateAndFire",
    "SignedIntegrateAndFire",
    "SpikeCode",
    "clipped",
    "spike_code",
    "spike_height",
]


@compat.when_nengo_dl_is_imported
def _teach_nengo_dl() -> None:
    # Builders register themselves. Whoever never loads NengoDL waits neither for it nor for TensorFlow.
    importlib.import_module(".nengo_dl_builders", __name__)
