"""Layers that NengoDL has no native form of, as several layers or others that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ... import compat
from ..affine import Affine
from ..graph import Ref
from ..head import keeps_numbers

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["drop_identities", "split_layers"]


def drop_identities(steps: Steps) -> Steps:
    """Leave out what changes nothing: padding by 0, pooling over one cell, linear activations, factors of 1.

    Parameters
    ----------
    steps : Steps
        The steps.

    Returns
    -------
    Steps
        Fewer steps.
    """
    shapes = steps.shapes()
    aliases = {
        step.output: step.inputs[0]
        for step in steps
        if step.is_plain and shapes[step.inputs[0]] == step.shape and _is_identity(step)
    }
    return steps.replaced((step for step in steps if step.output not in aliases), aliases)


def _is_identity(step):
    """Tell whether a step that keeps the shape keeps the numbers too."""
    if step.affine is not None:
        return step.affine.is_identity
    return keeps_numbers(step.kind or "", step.config)


def split_layers(steps: Steps) -> Steps:
    """Put layers in place of those that NengoDL has no native form of.

    * A separable convolution becomes a depthwise convolution and one of a single position, with bias and activation.
    * A dilated convolution gets a kernel with zeros between its taps.
    * A causal convolution gets zeros in front.
    * A difference becomes a sum, the second term times -1.

    Parameters
    ----------
    steps : Steps
        The steps.

    Returns
    -------
    Steps
        More steps. The last of those that one becomes keeps its name.
    """
    taken = {step.name for step in steps} | steps.reserved
    names, shapes, result = {}, steps.shapes(), []

    def part_of(step, part):
        """Name a part of a layer, alike for all its calls."""
        if (step.name, part) not in names:
            name, suffix = f"{step.name}_{part}", 1
            while name in taken:
                name, suffix = f"{step.name}_{part}_{suffix}", suffix + 1
            taken.add(name)
            names[step.name, part] = name
        return names[step.name, part]

    for step in steps:
        rest = [step]
        # What is called elsewhere too has to stay the same layer there.
        if step.name not in steps.reserved:
            if step.is_plain:
                rest = _split_separable(step, part_of) or rest
                rest = [part for one in rest for part in _split_causal(_without_dilation(one), shapes, part_of)]
            elif step.kind == "Subtract":
                rest = _split_difference(step, shapes, part_of) or rest
        for part in rest:
            shapes.update(zip(part.outputs, part.shapes))
        result += rest
    return steps.replaced(result)


def _split_separable(step, part_of):
    """Split a separable convolution, see [1]_, sec. 3.1 for its two halves.

    References
    ----------
    .. [1] Howard et al. (2017). MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications.
       arXiv:1704.04861.
    """
    if step.kind not in ("SeparableConv1D", "SeparableConv2D") or step.config["padding"] == "causal":
        return None
    if step.config.get("data_format") != "channels_last":
        return None
    layers, rank = _layers(), int(step.kind[-2])
    depthwise, pointwise, *bias = step.weights
    # What the halves have of the whole, and what is as it is without being said.
    window = ("dtype", "data_format", "kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier")
    mixing = ("dtype", "data_format", "filters", "activation", "use_bias")
    plain = {"activation": "linear", "use_bias": False}
    single = {"kernel_size": (1,) * rank, "strides": (1,) * rank, "padding": "valid", "dilation_rate": (1,) * rank}
    middle = (step.output, "depthwise")
    first = step.replace(
        layer_type=getattr(layers, f"DepthwiseConv{rank}D"),
        config={"name": part_of(step, "depthwise"), **{key: step.config[key] for key in window}, **plain},
        weights=(depthwise,),
        outputs=(middle,),
        shapes=((*step.shape[:-1], pointwise.shape[-2]),),
    )
    second = step.replace(
        layer_type=getattr(layers, f"Conv{rank}D"),
        config={"name": step.name, **{key: step.config[key] for key in mixing}, **single},
        weights=(pointwise, *bias),
        args=(Ref(middle),),
    )
    return [first, second]


def _without_dilation(step):
    """Put zeros between the taps of a dilated kernel."""
    if step.kind not in ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"):
        return step
    n_axes = int(step.kind[-2])
    rates = np.broadcast_to(step.config["dilation_rate"], n_axes)
    if (rates == 1).all():
        return step
    kernel = step.weights[0]
    sizes = [(n - 1) * int(rate) + 1 for n, rate in zip(kernel.shape, rates)]
    spread = np.zeros((*sizes, *kernel.shape[n_axes:]), kernel.dtype)
    spread[tuple(slice(None, None, rate) for rate in rates)] = kernel
    return step.configured(kernel_size=tuple(sizes), dilation_rate=(1,) * n_axes).replace(
        weights=(spread, *step.weights[1:])
    )


def _split_causal(step, shapes, part_of):
    """Put the zeros that a causal convolution begins with into a layer of their own."""
    if step.kind != "Conv1D" or step.config["padding"] != "causal" or step.config["data_format"] != "channels_last":
        return [step]
    n_zeros = len(step.weights[0]) - 1
    batch, n_steps, n_channels = shapes[step.inputs[0]]
    if n_steps is None:
        return [step]
    padded = (step.output, "padded")
    padding = step.replace(
        layer_type=_layers().ZeroPadding1D,
        config={"name": part_of(step, "padding"), "padding": (n_zeros, 0), "dtype": step.config["dtype"]},
        weights=(),
        outputs=(padded,),
        shapes=((batch, n_steps + n_zeros, n_channels),),
    )
    return [padding, step.configured(padding="valid").replace(args=(Ref(padded),))]


def _split_difference(step, shapes, part_of):
    """Add the negative of the second term."""
    if len(step.inputs) != 2 or step.kwargs or len({shapes[key] for key in step.inputs}) != 1 or not step.shape[-1]:
        return None
    negative = (step.output, "negative")
    affine = Affine.of(-1, 0, step.shape[-1])
    minus = step.configured(name=part_of(step, "negative")).scaling(affine)
    minus = minus.replace(args=(Ref(step.inputs[1]),), outputs=(negative,))
    return [minus, step.replace(layer_type=_layers().Add, args=([Ref(step.inputs[0]), Ref(negative)],))]


def _layers():
    return compat.import_tensorflow().keras.layers
