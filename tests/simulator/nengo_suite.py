"""The simulator as Nengo's own tests run it: in double precision, which their tolerances are made for."""

from nengo_cam.simulator import Simulator


class DoublePrecisionSimulator(Simulator):
    """`Simulator` in double precision."""

    def __init__(self, network, *args, **kwargs):
        super().__init__(network, *args, **{"dtype": "float64", "progress_bar": False, **kwargs})
