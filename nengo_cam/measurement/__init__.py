"""What a network does over time.

`run` feeds images to a simulator, one of `backends`, chunk of time by chunk. What is measured: maps (`cam`), answers
beside the CNN's (`answers`), each layer's activity (`activity`), spikes and synaptic operations (`cost`,
`synaptic_operations`), scores alone (`predict`); the same at several firing rates (`calibration_curve`), and of
randomized models (`randomization`).
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "activity",
        "answers",
        "backends",
        "calibration_curve",
        "cam",
        "cost",
        "predict",
        "randomization",
        "run",
        "synaptic_operations",
    ],
)
