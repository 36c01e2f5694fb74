"""Operators rewritten so that the same numbers cost less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from nengo.builder import Signal
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import DotInc, ElementwiseInc, Reset
from nengo.builder.transforms import ConvInc

if TYPE_CHECKING:
    from nengo.builder import Operator

__all__ = ["fold", "integrators", "unscaling"]

#: Types of neurons that use their input only as input * dt, and how they are scanned; filled by `neurons`.
integrators: dict[type, Any] = {}


def fold(operators: list[Operator], exact: bool, dt: float) -> list[Operator]:
    """Rewrite a list of operators.

    * Zeros that something is added to are dropped: the sum starts with its first term.
    * A gain that follows a convolution or a matrix product goes into the weights, if nobody else reads the product
      and the gain is the same at all positions of a channel. In double precision only gains of 1, because the product
      is rounded differently.
    * If such a product is only read by neurons that multiply it by the time step, that goes into the weights too. The
      new operator says so by its attribute ``unscale``: what its product is to be multiplied by.

    Parameters
    ----------
    operators : list of nengo.builder.Operator
        All operators of a model; neither the list nor the operators are changed.
    exact : bool
        Whether rounding has to be the reference's.
    dt : float
        Time step [s].

    Returns
    -------
    list of nengo.builder.Operator
    """
    return _without_idle_resets(_with_gains_in_weights(operators, exact, dt))


def unscaling(operator: Operator) -> float | None:
    """Tell what the product of an operator is to be multiplied by, None for 1; see `fold`."""
    factor = getattr(operator, "unscale", 1)
    return None if factor == 1 else factor


def _without_idle_resets(operators):
    written = {id(s.base) for op in operators for s in op.incs}
    return [
        op
        for op in operators
        if not (type(op) is Reset and op.value == 0 and not op.dst.is_view and id(op.dst) in written)
    ]


def _with_gains_in_weights(operators, exact, dt):
    readers, writers = {}, {}
    for op in operators:
        for signal in op.reads:
            readers.setdefault(id(signal.base), []).append(op)
        for signal in op.sets + op.incs + op.updates:
            writers.setdefault(id(signal.base), []).append(op)
    replaced = {}
    for gain in operators:
        if type(gain) is not ElementwiseInc or gain.X.is_view or id(gain.A.base) in writers:
            continue
        product = _only_product(writers.get(id(gain.X), []))
        if product is None or readers[id(gain.X)] != [gain] or gain.A.ndim != 1:
            continue
        factor = 1.0 if exact or not _only_integrated(readers.get(id(gain.Y), [])) else dt
        folded = _fold_gain(product, gain, exact, factor)
        if folded is not None:
            folded.unscale = 1 / factor
            replaced.update(dict.fromkeys(map(id, [*writers[id(gain.X)], gain])))
            replaced[id(product)] = folded
    return [new for op in operators if (new := replaced.get(id(op), op)) is not None]


def _only_product(writers):
    """Of the writers of a signal, the product if that is all that is added to zero."""
    products = [op for op in writers if type(op) in (ConvInc, DotInc)]
    others = [op for op in writers if type(op) not in (ConvInc, DotInc)]
    if len(products) == 1 and all(type(op) is Reset and op.value == 0 for op in others):
        return products[0]
    return None


def _only_integrated(readers):
    return all(type(op) is SimNeurons and type(op.neurons) in integrators for op in readers)


def _fold_gain(product, gain, exact, factor):
    factors = np.asarray(gain.A.initial_value) * factor
    ones = bool(np.all(factors == 1))
    if exact and not ones:
        return None
    if type(product) is DotInc:
        if product.A.ndim != 2 or product.reshape or factors.size != product.A.shape[0]:
            return None
        weights = product.A if ones else Signal(product.A.initial_value * factors[:, None], name=product.A.name)
        return DotInc(weights, product.X, gain.Y, tag=product.tag)
    conv = product.conv
    shape = conv.output_shape.shape
    if factors.size != int(np.prod(shape)):
        return None
    channel = -1 if conv.channels_last else 0
    by_channel = np.moveaxis(factors.reshape(shape), channel, -1).reshape(-1, conv.n_filters)
    if not np.all(by_channel == by_channel[0]):
        return None
    if not ones and not any(product.W.initial_value.strides[:-2]):
        # Pooling: a view on one position, which would become a kernel.
        return None
    weights = product.W if ones else Signal(product.W.initial_value * by_channel[0], name=product.W.name)
    return ConvInc(weights, product.X, gain.Y, conv, tag=product.tag)
