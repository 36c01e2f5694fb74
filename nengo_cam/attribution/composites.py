"""Which layer follows which rule of relevance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..exceptions import ParameterError
from .rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, ZBox, ZPlus

__all__ = [
    "Composite",
    "DeepTaylor",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "ExcitationBackprop",
    "PresetA",
    "PresetAFlat",
    "PresetB",
    "PresetBFlat",
    "kernel_kind",
]

Selector = Union[str, Callable[[str, Any], bool]]

_DENSE = {"Dense"}
_CONVOLUTIONS = {
    *(f"Conv{n}D{transposed}" for n in (1, 2, 3) for transposed in ("", "Transpose")),
    *(f"DepthwiseConv{n}D" for n in (1, 2)),
}
_KINDS = ("conv", "dense", "linear", "first")


def kernel_kind(layer: Any) -> str | None:
    """Tell what kind of layer with a kernel it is.

    Parameters
    ----------
    layer : tf.keras.layers.Layer or None
        Any layer.

    Returns
    -------
    {"conv", "dense"} or None
        None for layers without a kernel, those with more than one, and those that are not Keras's own.
    """
    if layer is None or not compat.is_keras_layer(type(layer)):
        return None
    name = type(layer).__name__
    return "dense" if name in _DENSE else "conv" if name in _CONVOLUTIONS else None


class Composite:
    """Rules by layer: the first pair that fits a layer says which rule it follows.

    Parameters
    ----------
    rules : iterable of (str or callable, Rule)
        What a rule is for: ``"conv"`` (convolutional, depthwise and transposed layers), ``"dense"``, ``"linear"`` (all
        of these), ``"first"`` (those of these that no other stands in front of); the class name of a layer, as in
        ``"DepthwiseConv2D"``; the name of a layer call, as `nengo_cam.models.graph.FlatModel.call_names` has it; or a
        function of name and layer that returns a bool. A layer that bears the name of a kind is told by a function.

    Attributes
    ----------
    rules : tuple of (str or callable, Rule)
        As given.

    Raises
    ------
    ParameterError
        If a pair is not one of these.

    Examples
    --------
    >>> from nengo_cam.attribution.composites import Composite
    >>> from nengo_cam.attribution.rules import Epsilon, Gamma, WSquare
    >>> Composite([("first", WSquare()), ("dense", Epsilon()), ("linear", Gamma(0.5))])
    Composite([('first', WSquare(bias=False)), ('dense', Epsilon(epsilon=1e-06)), ('linear', Gamma(gamma=0.5))])
    """

    def __init__(self, rules: Iterable[tuple[Selector, Rule]]):
        self.rules = tuple(rules)
        self._repr = None
        for pair in self.rules:
            is_pair = isinstance(pair, tuple) and len(pair) == 2
            if not is_pair or not (isinstance(pair[0], str) or callable(pair[0])) or not isinstance(pair[1], Rule):
                raise ParameterError(
                    f"composite: {pair!r} does not say which layers follow which rule; expected a name or a function, "
                    f"and a Rule, got {pair!r}. Write pairs such as ('conv', ZPlus())."
                )

    def __repr__(self) -> str:
        return self._repr or f"Composite([{', '.join(f'({_said(what)}, {rule!r})' for what, rule in self.rules)}])"

    def _call(self, **options):
        """Be shown as a preset with its options."""
        self._repr = f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"

    def assign(self, layers: Mapping[str, Any], first: Iterable[str]) -> dict[str, Rule]:
        """Tell which rule each layer follows.

        Parameters
        ----------
        layers : mapping of {str: tf.keras.layers.Layer}
            Layers by the name of their call.
        first : iterable of str
            Those with a kernel that no other with a kernel stands in front of.

        Returns
        -------
        dict of {str: Rule}
            Rules of those layers that any pair fits.

        Raises
        ------
        ParameterError
            If a pair names what no layer is.
        """
        first = set(first)
        known = {*_KINDS, *layers, *(type(layer).__name__ for layer in layers.values())}
        for what, _ in self.rules:
            if isinstance(what, str) and what not in known and what not in _DENSE | _CONVOLUTIONS:
                raise ParameterError(
                    f"composite: {what!r} is neither a kind nor a layer; expected one of {[*_KINDS, *layers]} or the "
                    f"class of a layer, got {what!r}. Name one of these."
                )
        fitting = {name: self._rule_of(name, layer, name in first) for name, layer in layers.items()}
        return {name: rule for name, rule in fitting.items() if rule is not None}

    def _rule_of(self, name, layer, is_first):
        kind = kernel_kind(layer)
        for what, rule in self.rules:
            if callable(what):
                fits = bool(what(name, layer))
            elif what in _KINDS:
                fits = {"first": is_first, "linear": kind is not None}.get(what, kind == what)
            else:
                fits = what in (name, type(layer).__name__)
            if fits:
                return rule
        return None


class EpsilonPlus(Composite):
    """z+ for convolutions, epsilon for dense layers.

    Parameters
    ----------
    epsilon : float
        Stabilizer of the dense layers.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.

    References
    ----------
    .. [1] Kohlbrenner et al. (2020). Towards best practice in explaining neural network decisions with LRP. IJCNN.
       arXiv:1910.09840.
    """

    def __init__(self, epsilon: float = 1e-6):
        super().__init__([("conv", ZPlus()), ("dense", Epsilon(epsilon))])
        self._call(epsilon=epsilon)


class EpsilonPlusFlat(Composite):
    """`EpsilonPlus`, and what the first layer gets spread evenly.

    Parameters
    ----------
    epsilon : float
        Stabilizer of the dense layers.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.
    """

    def __init__(self, epsilon: float = 1e-6):
        super().__init__([("first", Flat()), ("conv", ZPlus()), ("dense", Epsilon(epsilon))])
        self._call(epsilon=epsilon)


class EpsilonGammaBox(Composite):
    """The box rule for the first layer if it is a convolution, gamma for others, epsilon for dense layers.

    Parameters
    ----------
    low, high : float or array_like
        Lowest and highest value that images can have as they are fed to the model.
    epsilon : float
        Stabilizer of the dense layers.
    gamma : float
        By how much convolutions favor contributions of the sign of the current.

    Raises
    ------
    ParameterError
        If ``low`` is not below ``high``, or ``epsilon`` or ``gamma`` is negative or no number.

    References
    ----------
    .. [1] Montavon et al. (2019). Layer-wise relevance propagation: an overview. In: Explainable AI, LNCS 11700.
    """

    def __init__(self, low: ArrayLike, high: ArrayLike, *, epsilon: float = 1e-6, gamma: float = 0.25):
        # Of a layer that is both, "first" alone would take dense ones too.
        super().__init__([("dense", Epsilon(epsilon)), ("first", ZBox(low, high)), ("conv", Gamma(gamma))])
        self._call(low=_short(low), high=_short(high), epsilon=epsilon, gamma=gamma)


class PresetA(Composite):
    """Alpha 1, beta 0 for convolutions, epsilon for dense layers: iNNvestigate's ``LRPSequentialPresetA``.

    Parameters
    ----------
    epsilon : float
        Stabilizer of the dense layers.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.

    References
    ----------
    .. [1] Alber et al. (2019). iNNvestigate neural networks! JMLR 20(93).
    """

    def __init__(self, epsilon: float = 0.1):
        super().__init__(_preset(1.0, 0.0, epsilon))
        self._call(epsilon=epsilon)


class PresetAFlat(Composite):
    """`PresetA`, and what the first layer gets spread evenly.

    Parameters
    ----------
    epsilon : float
        Stabilizer of the dense layers.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.
    """

    def __init__(self, epsilon: float = 0.1):
        super().__init__([("first", Flat()), *_preset(1.0, 0.0, epsilon)])
        self._call(epsilon=epsilon)


class PresetB(Composite):
    """Alpha 2, beta 1 for convolutions, epsilon for dense layers: iNNvestigate's ``LRPSequentialPresetB``.

    Parameters
    ----------
    epsilon : float
        Stabilizer of the dense layers.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.

    References
    ----------
    .. [1] Alber et al. (2019). iNNvestigate neural networks! JMLR 20(93).
    """

    def __init__(self, epsilon: float = 0.1):
        super().__init__(_preset(2.0, 1.0, epsilon))
        self._call(epsilon=epsilon)


class PresetBFlat(Composite):
    """`PresetB`, and what the first layer gets spread evenly.

    Parameters
    ----------
    epsilon : float
        Stabilizer of the dense layers.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.
    """

    def __init__(self, epsilon: float = 0.1):
        super().__init__([("first", Flat()), *_preset(2.0, 1.0, epsilon)])
        self._call(epsilon=epsilon)


class DeepTaylor(Composite):
    """z+ without biases for all layers, and the box rule for the first if images have bounds.

    Average pooling goes by contributions here, as z+ says of a kernel of equal weights; iNNvestigate spreads it evenly.

    Parameters
    ----------
    low, high : float or array_like, optional
        Lowest and highest value that images can have as they are fed to the model; both or none.

    Raises
    ------
    ParameterError
        If one is given without the other, or ``low`` is not below ``high``.

    References
    ----------
    .. [1] Montavon et al. (2017). Explaining nonlinear classification decisions with deep Taylor decomposition. Pattern
       Recognition 65. doi:10.1016/j.patcog.2016.11.008.
    """

    def __init__(self, low: ArrayLike | None = None, high: ArrayLike | None = None):
        if (low is None) != (high is None):
            raise ParameterError(
                f"DeepTaylor: images have two bounds or none; expected low and high, got low={low!r}, high={high!r}. "
                "Give both."
            )
        box: list[tuple[Selector, Rule]] = []
        if low is not None and high is not None:
            box.append(("first", ZBox(low, high)))
        super().__init__([*box, ("linear", ZPlus(bias=None))])
        self._call(**({"low": _short(low), "high": _short(high)} if box else {}))


class ExcitationBackprop(Composite):
    """Excitation Backprop: probabilities of a winner that walks back along positive weights.

    The z+ rule without biases for all layers, as in eq. 2 of [1]_, whose winners are those among inputs that are not
    negative. Attributions of a start of 1 sum to 1.

    References
    ----------
    .. [1] Zhang et al. (2018). Top-down neural attention by excitation backprop. IJCV 126. arXiv:1608.00507.
    """

    def __init__(self):
        super().__init__([("linear", ZPlus(bias=None))])
        self._call()


def _preset(alpha, beta, epsilon):
    return [("conv", AlphaBeta(alpha, beta, bias="whole")), ("dense", Epsilon(epsilon))]


def _said(what):
    return repr(what) if isinstance(what, str) else getattr(what, "__name__", repr(what))


def _short(bound):
    """Say a bound so that it fits a line."""
    return bound if np.ndim(bound) == 0 else np.asarray(bound).tolist()
