"""Spiking against rate maps: functions on the Datasets that `nengo_cam.spiking_cam` and `rate_cam` give.

`compare` scores maps over time by the metrics in `metrics`, which `registry` lists; `reduction` averages and smooths
maps over time before that; `alignment` says what a Dataset must have; `completeness` checks the identity that holds
them together.
"""

from .compare import compare, correlation
from .completeness import completeness_error
from .metrics import cosine, pearson, rmse, spearman, ssim, topk_iou
from .reduction import check_burn_in, cumulative, smooth
from .registry import Metric, get_metric, metric_names, register_metric

__all__ = [
    "Metric",
    "check_burn_in",
    "compare",
    "completeness_error",
    "correlation",
    "cosine",
    "cumulative",
    "get_metric",
    "metric_names",
    "pearson",
    "register_metric",
    "rmse",
    "smooth",
    "spearman",
    "ssim",
    "topk_iou",
]
