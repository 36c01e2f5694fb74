# The public names, and where they live: read by editors and type checkers, and by lazy_loader when a name is first
# used.
from . import (
    attribution,
    checks,
    compat,
    conversion,
    datasets,
    exceptions,
    explaining,
    measurement,
    models,
    neurons,
    plotting,
    reports,
    scoring,
    simulator,
    widgets,
)
from .attribution.attribute import attribute, rate_attribute
from .conversion import calibrate
from .conversion.adoption import from_converter
from .conversion.convert import convert
from .conversion.native import from_network
from .conversion.network import CAMNetwork
from .conversion.report import Report
from .conversion.verify import Verification
from .exceptions import CAMError
from .explaining.explain import Explanation, explain
from .explaining.recommend import Recommendation, recommend
from .measurement import backends
from .measurement.activity import measure_activity
from .measurement.calibration_curve import calibration_curve
from .measurement.cam import class_activation_map, rate_cam, spiking_cam
from .measurement.cost import cost_until, energy, measure_cost
from .measurement.live import CAMNode, cam_node
from .measurement.predict import rate_predict, spiking_predict
from .measurement.probed import cam_dataset
from .measurement.randomization import cascading_randomization, randomize
from .models.head import CAMHead
from .models.simplify import inference_model
from .models.source import find_head
from .neurons import (
    ClippedIntegrateAndFire,
    ClippedRectifiedLinear,
    IntegrateAndFire,
    SigmaDelta,
    SignedClippedIntegrateAndFire,
    SignedIntegrateAndFire,
)
from .plotting import animate, comparison, overlay, raster, timeline, tradeoff
from .scoring import agreement
from .scoring.agreement import compare, completeness_error, correlation, cumulative, smooth
from .scoring.faithfulness import average_drop, faithfulness
from .scoring.latency import decision_latency, explanation_latency, latency_summary
from .scoring.localization import localization_scores
from .simulator import Simulator
from .version import __version__
from .widgets import player

__all__ = [
    "CAMError",
    "CAMHead",
    "CAMNetwork",
    "CAMNode",
    "ClippedIntegrateAndFire",
    "ClippedRectifiedLinear",
    "Explanation",
    "IntegrateAndFire",
    "Recommendation",
    "Report",
    "SigmaDelta",
    "SignedClippedIntegrateAndFire",
    "SignedIntegrateAndFire",
    "Simulator",
    "Verification",
    "__version__",
    "agreement",
    "animate",
    "attribute",
    "attribution",
    "average_drop",
    "backends",
    "calibrate",
    "calibration_curve",
    "cam_dataset",
    "cam_node",
    "cascading_randomization",
    "checks",
    "class_activation_map",
    "compare",
    "comparison",
    "compat",
    "completeness_error",
    "conversion",
    "convert",
    "correlation",
    "cost_until",
    "cumulative",
    "datasets",
    "decision_latency",
    "energy",
    "exceptions",
    "explain",
    "explaining",
    "explanation_latency",
    "faithfulness",
    "find_head",
    "from_converter",
    "from_network",
    "inference_model",
    "latency_summary",
    "localization_scores",
    "measure_activity",
    "measure_cost",
    "measurement",
    "models",
    "neurons",
    "overlay",
    "player",
    "plotting",
    "randomize",
    "raster",
    "rate_attribute",
    "rate_cam",
    "rate_predict",
    "recommend",
    "reports",
    "scoring",
    "simulator",
    "smooth",
    "spiking_cam",
    "spiking_predict",
    "timeline",
    "tradeoff",
    "widgets",
]
