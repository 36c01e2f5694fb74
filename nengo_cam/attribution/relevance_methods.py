"""A function for each method of relevance, with its equation and its source."""

from __future__ import annotations

from typing import Any

import xarray as xr

from ..checks.sources import Images
from ..conversion.network import CAMNetwork
from .attribute import attribute

__all__ = ["lrp"]


def lrp(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Share out a logit among the pixels, layer by layer, and book what stays elsewhere.

    What a unit is worth goes back to what makes up its current, in proportion to the contributions that the rule of its
    layer counts [1]_; `nengo_cam.attribution.composites` assigns rules to layers. Nothing gets lost: at every time

    .. math::

        \mathrm{logit}(t) = \sum R(t) + \mathrm{bias} + \mathrm{charge} + \mathrm{clip} + \mathrm{epsilon},

    with the relevance of the input, the shares of the biases, of what still sits in the membranes of spiking neurons
    and so is not explained by the image yet, of units at their largest activation, and of units whose counted
    contributions add up to nothing. What is silent has a relevance of 0.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`, ``composite`` (default: `EpsilonPlus`) and ``transport`` among them.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`: ``attribution`` [logit], and ``bias_share``, ``charge_share``, ``clip_share`` and
        ``epsilon_share`` (image, time[, label], layer) [logit].

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`, and for layers that relevance has no rule for.

    References
    ----------
    .. [1] Bach et al. (2015). On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
       propagation. PLoS ONE 10(7). doi:10.1371/journal.pone.0130140, section "Layer-wise relevance propagation".

    Examples
    --------
    >>> from nengo_cam.attribution import lrp
    >>> found = lrp(net, images, n_steps=20, progress_bar=False)
    >>> shares = sum(found[name].sum("layer") for name in ("bias_share", "charge_share", "clip_share", "epsilon_share"))
    >>> logits = found.logits.sel(label=found.target)
    >>> bool(abs(found.attribution.sum(("y", "x")) + shares - logits).max() < 2e-5 * abs(logits).max())
    True
    """
    return attribute(net, images, "lrp", n_steps=n_steps, **options)
