"""Neuron types that Nengo lacks, known to Nengo's and NengoDL's simulators.

==================  ==========================================================================================
Module              Holds
==================  ==========================================================================================
integrate_and_fire  `IntegrateAndFire`, `SignedIntegrateAndFire`
clipping            the same with a largest output, for clipped ReLU; `clipped` finds the one for other neurons
spikes              `spike_height`
nengo_dl_builders   how NengoDL runs them; imported with NengoDL, not before
==================  ==========================================================================================
"""

import importlib

from .. import compat
from .clipping import ClippedIntegrateAndFire, ClippedRectifiedLinear, SignedClippedIntegrateAndFire, clipped
from .integrate_and_fire import IntegrateAndFire, SignedIntegrateAndFire
from .spikes import spike_height

__all__ = [
    "ClippedIntegrateAndFire",
    "ClippedRectifiedLinear",
    "IntegrateAndFire",
    "SignedClippedIntegrateAndFire",
    "SignedIntegrateAndFire",
    "clipped",
    "spike_height",
]


@compat.when_nengo_dl_is_imported
def _teach_nengo_dl() -> None:
    # Builders register themselves. Whoever never loads NengoDL waits neither for it nor for TensorFlow.
    importlib.import_module(".nengo_dl_builders", __name__)
