"""Numbers from results: readers that need neither TensorFlow nor Nengo.

`agreement` scores spiking against rate maps over time, `latency` says when answer and map settle, `localization`
whether maps point at the objects, `faithfulness` whether they show what a network goes by, on images brought to
`pixels`. `positions` names the axes of a map, `readout` says whether its steps are averaged or read as they are.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=["agreement", "faithfulness", "latency", "localization", "pixels", "positions", "readout"]
)
