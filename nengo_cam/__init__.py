"""Class-activation maps of spiking networks over time, for Nengo and NengoDL.

Importing this package is cheap: TensorFlow and Nengo load with the first name that needs them.
"""

import sys as _sys
import types as _types
from importlib import import_module as _import_module

from . import compat as _compat
from .version import __version__

_compat.prepare()

_HOME = {
    "animate": "plotting",
    "calibration_curve": "calibration_curve",
    "class_activation_map": "cam",
    "rate_cam": "cam",
    "spiking_cam": "cam",
    "CAMHead": "head",
    "find_head": "head",
    "Report": "report",
    "measure_activity": "activity",
    "cost_until": "cost",
    "energy": "cost",
    "measure_cost": "cost",
    "rate_predict": "predict",
    "spiking_predict": "predict",
    "average_drop": "faithfulness",
    "faithfulness": "faithfulness",
    "cascading_randomisation": "randomisation",
    "randomise": "randomisation",
    "CAMNetwork": "convert",
    "Verification": "convert",
    "convert": "convert",
    "ClippedIntegrateAndFire": "neurons",
    "ClippedRectifiedLinear": "neurons",
    "IntegrateAndFire": "neurons",
    "SignedClippedIntegrateAndFire": "neurons",
    "SignedIntegrateAndFire": "neurons",
    "Simulator": "simulator",
    "inference_model": "simplify",
    "comparison": "plotting",
    "overlay": "plotting",
    "raster": "plotting",
    "timeline": "plotting",
    "tradeoff": "plotting",
    "player": "widgets",
    "compare": "agreement",
    "completeness_error": "agreement",
    "correlation": "agreement",
    "cumulative": "agreement",
    "smooth": "agreement",
    "decision_latency": "latency",
    "explanation_latency": "latency",
    "latency_summary": "latency",
    "localisation_scores": "localisation",
    "CAMError": "exceptions",
}
# Those that the reference names; functions and modules of one name, such as `convert`, are the functions.
_MODULES = (
    "activity",
    "agreement",
    "answers",
    "backends",
    "calibrate",
    "cam",
    "compat",
    "cost",
    "datasets",
    "exceptions",
    "fan_out",
    "geometry",
    "head",
    "keras3",
    "latency",
    "localisation",
    "macs",
    "model_files",
    "neurons",
    "outputs",
    "plotting",
    "predict",
    "randomisation",
    "report",
    "simplify",
    "simulator",
    "verify",
    "widgets",
)

__all__ = ["__version__", *sorted(_HOME), *_MODULES]


def __getattr__(name):
    if name in _HOME:
        value = getattr(_import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = _import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)


class _Package(_types.ModuleType):
    """Keeps the submodule ``convert`` from hiding the function ``convert`` once it is imported."""

    def __setattr__(self, name, value):
        if not (name in _HOME and isinstance(value, _types.ModuleType)):
            super().__setattr__(name, value)


_sys.modules[__name__].__class__ = _Package
