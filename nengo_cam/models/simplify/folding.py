"""BatchNormalization and other factors and offsets, in the weights of the layer before or after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["fold"]

_BACKWARD = frozenset(
    {"Dense", "DepthwiseConv1D", "DepthwiseConv2D"}
    | {f"Conv{n}D{suffix}" for n in (1, 2, 3) for suffix in ("", "Transpose")}
)
_FORWARD = frozenset({"Conv1D", "Conv2D", "Conv3D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D"})


def fold(steps: Steps) -> Steps:
    r"""Fold factors and offsets of channels into the weights of the layer next to them.

    With :math:`w * x + b` for a convolution or dense layer: what comes after it and does
    :math:`y \mapsto s y + t` becomes part of it by :math:`w' = s w`, :math:`b' = s b + t` [1]_; what comes before it by
    :math:`w' = w s`, :math:`b' = b + \sum w\, t`, where the sum is over positions and input channels. The second is
    exact at the border only if nothing is padded with zeros, or :math:`t = 0`. Two in a row become one.

    Nothing is folded if what is between the two goes elsewhere too, if an activation is between them, or if the layer
    with the weights is called more than once.

    Parameters
    ----------
    steps : Steps
        The steps.

    Returns
    -------
    Steps
        Fewer steps.

    References
    ----------
    .. [1] Jacob et al. (2018). Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
       Inference. CVPR. arXiv:1712.05877, sec. 3.2.
    """
    return _fold_forward(_fold_backward(steps))


def _fold_backward(steps):
    """Fold into the layer before."""
    consumers, shared = steps.consumers(), steps.shared()
    by_output, result = {}, {}
    for step in steps:
        before = by_output.get(step.inputs[0]) if step.affine is not None else None
        if before is not None and len(consumers[before.output]) == 1 and step.output != steps.result:
            folded = _after(before, step) if before.name not in shared else None
            if folded is not None:
                del result[before.output]
                step = folded.replace(outputs=step.outputs, shapes=step.shapes)
        if len(step.outputs) == 1:
            by_output[step.output] = step
        result[step.output] = step
    return steps.replaced(result.values())


def _after(before, step):
    """Return a layer that does the work of an affine step too, or None if it cannot."""
    if before.affine is not None:
        return before.scaling(before.affine.then(step.affine), step.calls)
    if before.kind not in _BACKWARD or not before.is_plain or before.config["activation"] != "linear":
        return None
    if not _is_channels_last(before):
        return None
    affine, (kernel, *bias) = step.affine, before.weights
    # A depthwise kernel has output channels on its last two axes, a transposed one on its last but one.
    factors = affine.scale
    if before.kind.startswith("Depthwise"):
        factors = factors.reshape(kernel.shape[-2:])
    elif before.kind.endswith("Transpose"):
        factors = factors[:, None]
    offset = affine(bias[0].astype(float)) if bias else affine.shift
    return _reweighted(before, kernel * factors, offset, step.calls)


def _fold_forward(steps):
    """Fold into the layer after."""
    consumers, shared, shapes = steps.consumers(), steps.shared(), steps.shapes()
    aliases, changed = {}, {}
    for step in steps:
        after = consumers[step.output]
        if step.affine is None or len(after) != 1 or after[0] is None or after[0].name in shared:
            continue
        (after,) = after
        folded = _before(step, changed.get(after.output, after), shapes)
        if folded is not None:
            changed[after.output] = folded
            aliases[step.output] = step.inputs[0]
    kept = (changed.get(step.output, step) for step in steps if step.output not in aliases)
    return steps.replaced(kept, aliases)


def _before(step, after, shapes):
    """Return a layer that does the work of an affine step in front of it too, or None if it cannot."""
    if after.kind not in _FORWARD or not after.is_plain or not _is_channels_last(after):
        return None
    affine, (kernel, *bias) = step.affine, after.weights
    padded = after.config.get("padding", "valid") != "valid" and set(np.shape(kernel)[:-2]) != {1}
    if padded and affine.shift.any():
        return None
    scale, shift = affine.scale, affine.shift
    if after.kind.startswith("Depthwise"):
        scaled, added = kernel * scale[:, None], (kernel * shift[:, None]).reshape((-1, after.shape[-1])).sum(axis=0)
    else:
        # Output channels are in order of their groups, and a group sees its own inputs only.
        n_groups = after.config.get("groups", 1)
        n_seen, n_outputs = kernel.shape[-2:]
        scale, shift = (np.repeat(v.reshape(n_groups, n_seen), n_outputs // n_groups, axis=0).T for v in (scale, shift))
        scaled, added = kernel * scale, (kernel * shift).reshape((-1, n_outputs)).sum(axis=0)
    return _reweighted(after, scaled, added + (bias[0] if bias else 0), step.calls)


def _reweighted(step, kernel, bias, calls):
    """Return the layer with other weights, and a bias if it needs one."""
    use_bias = step.config["use_bias"] or bool(np.any(bias))
    weights = (kernel, bias) if use_bias else (kernel,)
    return step.configured(use_bias=use_bias).replace(weights=weights, calls=(*step.calls, *calls))


def _is_channels_last(step):
    return step.config.get("data_format", "channels_last") == "channels_last"
