"""Whether maps point at the objects: scores against boxes or masks, over time, beside what chance and centre reach.

`scores` holds the measures as functions of arrays, `regions` brings boxes and masks to the cells of maps, `localise`
runs both on a Dataset.
"""

from .localise import localisation_scores
from .scores import area_iou, centre_prior, energy_inside, pointing_game

__all__ = ["area_iou", "centre_prior", "energy_inside", "localisation_scores", "pointing_game"]
