"""From a CNN to a spiking network.

`convert` makes a `CAMNetwork` (`network`), with firing rates from `calibrate`, neurons from `choosing` and converters
from `layers`; `adoption` makes one around a network that was converted elsewhere; both find the head by `parts`.
`native` makes one around a network that was built by hand: `linear_path` finds what lies between its features and
logits, going back through `transforms`, and `kernel_form` whether the weights of its readout are by themselves those of
the map. `report` says what became of each layer, `verify` how far the network is from its source, `layer_weights` what
it has learned since.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "adoption",
        "calibrate",
        "choosing",
        "convert",
        "kernel_form",
        "layer_weights",
        "layers",
        "linear_path",
        "native",
        "network",
        "parts",
        "report",
        "transforms",
        "verify",
    ],
)
