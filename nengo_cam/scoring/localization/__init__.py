"""Whether maps point at the objects: scores against boxes or masks, over time, beside what chance and center reach.

`scores` holds the measures as functions of arrays, `regions` brings boxes and masks to the cells of maps, `localize`
runs both on a Dataset.
"""

from .localize import localization_scores
from .scores import area_iou, center_prior, energy_inside, pointing_game

__all__ = ["area_iou", "center_prior", "energy_inside", "localization_scores", "pointing_game"]
