r"""How a layer hands relevance on: the rules of layer-wise relevance propagation.

A rule shares out the relevance of a unit :math:`j` among what makes up its current
:math:`z_j = \sum_i x_i w_{ij} + b_j`. With :math:`n_j` for the relevance that arrives, :math:`[\cdot]^+` and
:math:`[\cdot]^-` for the positive and negative part of a contribution :math:`x_i w_{ij}`, and
:math:`Z^\pm_j = \sum_i [x_i w_{ij}]^\pm`, most rules weigh the two parts,

.. math:: R_i = \sum_j [x_i w_{ij}]^+ u^+_j + [x_i w_{ij}]^- u^-_j,

and differ in :math:`u^\pm_j` alone. Nothing is lost without being booked: for each unit
:math:`n_j = u^+_j Z^+_j + u^-_j Z^-_j + \text{bias} + \text{absorbed}`. Such rules give coefficients
:math:`c_i = R_i / x_i` that are defined where :math:`x_i = 0` too. Rules for first layers (`ZBox`, `WSquare`, `Flat`)
do not: they give relevance to inputs that are zero.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..checks.parameters import is_real
from ..exceptions import ParameterError

__all__ = [
    "AlphaBeta",
    "Epsilon",
    "Flat",
    "Gamma",
    "Kernel",
    "Pass",
    "Rule",
    "Shared",
    "WSquare",
    "ZBox",
    "ZPlus",
]

_BIASES = ("split", "whole", None)


@dataclasses.dataclass(frozen=True, eq=False)
class Shared:
    """What a rule made of the relevance of the units of a layer.

    Attributes
    ----------
    coefficients : tensor of shape (N, ...) or None
        Relevance per unit of each input, to be multiplied by the input.
    relevance : tensor of shape (N, ...) or None
        Relevance of inputs that is not in proportion to them; added to the other.
    bias : tensor of shape (N, ...) or None
        Relevance that each unit gives to its bias.
    absorbed : tensor of shape (N, ...)
        Relevance that each unit gives to nobody: what a stabilizer takes, and all of it where there is no current that
        it could be shared out among.
    excess : tensor of shape (N, ...) or None
        By how much the inputs that were used are larger than those that were given, where those were rectified.
    """

    coefficients: Any
    relevance: Any
    bias: Any
    absorbed: Any
    excess: Any = None


class Kernel:
    """A dense or convolutional layer whose kernel can be changed.

    Parameters
    ----------
    layer : tf.keras.layers.Layer
        Layer with one kernel, that of a `nengo_cam.models.replay.Replay`; its bias and activation are left aside.

    Attributes
    ----------
    bias : ndarray or None
        Bias, in a shape that fits the output.
    """

    def __init__(self, layer: Any):
        self._layer = layer
        kernel, *biases = layer.get_weights()
        self._kernel = kernel
        # Channels stand in front of rows and columns in some models.
        after = len(layer.kernel_size) if getattr(layer, "data_format", None) == "channels_first" else 0
        shaped = [np.asarray(bias, np.float32).reshape(-1, *[1] * after) for bias in biases]
        self.bias = shaped[0] if shaped else None
        self._copies: dict[str, Any] = {}

    def whole(self, x: Any) -> Any:
        """Apply the kernel to a tensor."""
        return self._apply("whole", lambda kernel: kernel, x)

    def positive(self, x: Any) -> Any:
        """Apply its positive weights, zeros in the place of the others."""
        return self._apply("positive", lambda kernel: np.maximum(kernel, 0), x)

    def negative(self, x: Any) -> Any:
        """Apply its negative weights, zeros in the place of the others."""
        return self._apply("negative", lambda kernel: np.minimum(kernel, 0), x)

    def squared(self, x: Any) -> Any:
        """Apply the squares of its weights."""
        return self._apply("squared", np.square, x)

    def ones(self, x: Any) -> Any:
        """Apply a kernel of ones."""
        return self._apply("ones", np.ones_like, x)

    def _apply(self, name, change, x):
        if name not in self._copies:
            options = {**self._layer.get_config(), "use_bias": False, "activation": "linear"}
            copy = type(self._layer).from_config(options)
            copy.build((None, *x.shape[1:]))
            copy.set_weights([change(self._kernel)])
            # Not all layers' own `build` says that it is done.
            copy.built = True
            self._copies[name] = copy
        return compat.import_tensorflow().cast(self._copies[name](x), "float32")


class Rule:
    """Base of the rules.

    Attributes
    ----------
    transport : {"coefficients", "relevance"}
        What it takes of a rectified layer unless told otherwise: the coefficient of the layer times the ReLU of its
        recomputed current, or times the activity that was measured.
    """

    transport = "relevance"

    def share(self, kernel: Kernel, x: Any, pre: Any, relevance: Any, *, rectified: bool, transport: str) -> Shared:
        """Share out the relevance of the units of a layer.

        Parameters
        ----------
        kernel : Kernel
            The layer.
        x : tensor of shape (N, ...)
            Its input.
        pre : tensor of shape (N, ..., channels)
            Its currents, bias included.
        relevance : tensor of shape (N, ..., channels)
            Relevance of each unit.
        rectified : bool
            Whether the input is the output of ReLUs, of which measured means may be negative by rounding, or where
            signed spikes outweigh others for a while. Rules that tell signs apart take those as zero.
        transport : {"coefficients", "relevance"}
            How the relevance was carried here.

        Returns
        -------
        Shared

        Raises
        ------
        ParameterError
            If the rule does not fit the input.
        """
        return self._share(kernel, x, pre, relevance, rectified, transport)

    def _share(self, kernel, x, pre, relevance, rectified, transport):
        raise NotImplementedError


class _SignRule(Rule):
    """A rule that weighs positive and negative contributions."""

    _ignores_negative = False

    def _share(self, kernel, x, pre, relevance, rectified, transport):
        tf = compat.import_tensorflow()
        used = tf.nn.relu(x) if rectified else x
        signed = not rectified and bool(tf.reduce_any(x < 0))
        rising, falling = tf.nn.relu(used), -tf.nn.relu(-used)
        with tf.GradientTape() as tape:
            tape.watch([rising, falling])
            positive = kernel.positive(rising)
            # Half of the work, and nothing in it, where negative contributions weigh nothing.
            negative = tf.zeros_like(positive) if self._ignores_negative else kernel.negative(rising)
            if signed:
                positive += kernel.negative(falling)
                negative = negative if self._ignores_negative else negative + kernel.positive(falling)
        bias = tf.zeros((1,)) if kernel.bias is None else tf.constant(kernel.bias)
        up, down, of_bias, absorbed = self._weigh(pre, relevance, positive, negative, bias, transport)
        coefficients, of_falling = tape.gradient([positive, negative], [rising, falling], [up, down])
        if signed:
            # Inputs of zero take the coefficient that they would have just above it, where ReLUs go when they fire.
            coefficients = tf.where(x >= 0, coefficients, of_falling)
        return Shared(coefficients, None, of_bias, absorbed, used - x if rectified else None)

    def _weigh(self, pre, relevance, positive, negative, bias, transport):
        """Return the factors of positive and negative contributions, the bias's part, and what nobody gets."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Epsilon(Rule):
    r"""Share out in proportion to contributions, with a stabilizer.

    .. math:: R_i = \sum_j \frac{x_i w_{ij}}{z_j + \epsilon\,\mathrm{sign}(z_j)} n_j, \qquad \mathrm{sign}(0) = 1

    [1]_, eq. 58. With ``epsilon=0`` it is LRP-0, which on plain ReLU networks is Input x Gradient. The bias is among
    the contributions. A unit without current hands nothing on.

    Parameters
    ----------
    epsilon : float
        Stabilizer, in the units of the layer's current; what it takes is booked as absorbed.

    Raises
    ------
    ParameterError
        If ``epsilon`` is negative or no number.

    References
    ----------
    .. [1] Bach et al. (2015). On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
       propagation. PLoS ONE 10(7). doi:10.1371/journal.pone.0130140.
    """

    epsilon: float = 1e-6
    transport = "coefficients"

    def __post_init__(self):
        _check_not_negative(self, "epsilon")

    def _share(self, kernel, x, pre, relevance, rectified, transport):
        tf = compat.import_tensorflow()
        with tf.GradientTape() as tape:
            tape.watch(x)
            current = kernel.whole(x)
        factor = ratio(relevance, stabilized(pre, self.epsilon))
        coefficients = tape.gradient(current, x, factor)
        of_bias = None if kernel.bias is None else factor * kernel.bias
        return Shared(coefficients, None, of_bias, relevance - factor * pre)


@dataclasses.dataclass(frozen=True)
class Gamma(_SignRule):
    r"""Favor contributions of the sign that the current has.

    .. math::
        R_i = \sum_{j: z_j > 0} \frac{[x_i w_{ij}]^+ (1 + \gamma) + [x_i w_{ij}]^-}
                                    {Z^+_j (1 + \gamma) + Z^-_j + b_j + \gamma b_j^+} n_j
            + \sum_{j: z_j < 0} \frac{[x_i w_{ij}]^+ + [x_i w_{ij}]^- (1 + \gamma)}
                                    {Z^+_j + Z^-_j (1 + \gamma) + b_j + \gamma b_j^-} n_j

    the four terms of [2]_, by the sign of input and weight. For inputs and currents that are not negative it is
    :math:`w \to w + \gamma w^+` [1]_. A unit without current hands nothing on.

    Parameters
    ----------
    gamma : float
        By how much they are favored; 0 gives LRP-0.

    Raises
    ------
    ParameterError
        If ``gamma`` is negative or no number.

    References
    ----------
    .. [1] Montavon et al. (2019). Layer-wise relevance propagation: an overview. In: Explainable AI, LNCS 11700,
       section 10.2.1.
    .. [2] Andeol et al. (2021). Learning domain invariant representations by joint Wasserstein distance minimization.
       arXiv:2106.04923.
    """

    gamma: float = 0.25
    transport = "coefficients"

    def __post_init__(self):
        _check_not_negative(self, "gamma")

    def _weigh(self, pre, relevance, positive, negative, bias, transport):
        tf = compat.import_tensorflow()
        more = 1 + self.gamma
        above, below = more * positive + negative, positive + more * negative
        above_bias, below_bias = bias + self.gamma * tf.nn.relu(bias), bias - self.gamma * tf.nn.relu(-bias)
        zeros = tf.zeros_like(relevance)
        excited = ratio(tf.where(pre > 0, relevance, zeros), above + above_bias)
        inhibited = ratio(tf.where(pre < 0, relevance, zeros), below + below_bias)
        of_bias = excited * above_bias + inhibited * below_bias
        absorbed = relevance - excited * (above + above_bias) - inhibited * (below + below_bias)
        return more * excited + inhibited, excited + more * inhibited, of_bias, absorbed


@dataclasses.dataclass(frozen=True)
class AlphaBeta(_SignRule):
    r"""Share out among positive and among negative contributions apart.

    .. math::
        R_i = \sum_j \left(\alpha \frac{[x_i w_{ij}]^+}{Z^+_j + p_j}
              - \beta \frac{[x_i w_{ij}]^-}{Z^-_j + q_j}\right) n_j

    [1]_, eq. 60. Where a denominator is zero, its part is absorbed.

    Parameters
    ----------
    alpha, beta : float
        Weights; their difference is 1.
    bias : {"split", "whole"} or None
        What stands for the bias: its positive part in :math:`p` and its negative part in :math:`q` ("split"); all of it
        in both ("whole", as iNNvestigate has it); or nothing, and then it is given nothing.

    Raises
    ------
    ParameterError
        If ``alpha`` or ``beta`` is negative or no number, their difference is not 1, or ``bias`` is another.

    References
    ----------
    .. [1] Bach et al. (2015). On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
       propagation. PLoS ONE 10(7). doi:10.1371/journal.pone.0130140.
    """

    alpha: float = 2.0
    beta: float = 1.0
    bias: str | None = "split"

    def __post_init__(self):
        _check_not_negative(self, "alpha")
        _check_not_negative(self, "beta")
        if abs(self.alpha - self.beta - 1) > 1e-9:
            raise ParameterError(
                f"AlphaBeta: alpha - beta has to be 1, or relevance is not kept; expected that, got alpha="
                f"{self.alpha!r}, beta={self.beta!r}. Give both, such as (2, 1)."
            )
        _check_bias(self, _BIASES)

    @property
    def _ignores_negative(self):
        return self.beta == 0

    def _weigh(self, pre, relevance, positive, negative, bias, transport):
        return _alpha_beta(self.alpha, self.beta, self.bias, relevance, positive, negative, bias)


@dataclasses.dataclass(frozen=True)
class ZPlus(_SignRule):
    r"""Share out among positive contributions.

    .. math:: R_i = \sum_j \frac{[x_i w_{ij}]^+}{Z^+_j + p_j} n_j

    [1]_, eq. 13, for inputs of either sign; `AlphaBeta` with (1, 0). Without the bias all relevance goes to inputs. It
    is absorbed where no contribution is positive.

    Parameters
    ----------
    bias : {"auto", "split", "whole"} or None
        What stands for the bias in :math:`p`: its positive part, all of it, or nothing. "auto": nothing where
        activity that was measured is shared out, which conserves; its positive part where coefficients are carried,
        which it keeps below 1: a current that comes from the bias must not be charged to inputs that are next to
        silent.

    Raises
    ------
    ParameterError
        If ``bias`` is another.

    References
    ----------
    .. [1] Montavon et al. (2017). Explaining nonlinear classification decisions with deep Taylor decomposition. Pattern
       Recognition 65. doi:10.1016/j.patcog.2016.11.008.
    """

    bias: str | None = "auto"
    _ignores_negative = True

    def __post_init__(self):
        _check_bias(self, ("auto", *_BIASES))

    def _weigh(self, pre, relevance, positive, negative, bias, transport):
        kind = self.bias
        if kind == "auto":
            kind = "split" if transport == "coefficients" else None
        return _alpha_beta(1.0, 0.0, kind, relevance, positive, negative, bias)


@dataclasses.dataclass(frozen=True, eq=False)
class ZBox(Rule):
    r"""Share out against the lowest and the highest value that inputs can have: for the first layer.

    .. math::
        R_i = \sum_j \frac{x_i w_{ij} - l_i w^+_{ij} - h_i w^-_{ij}}
                          {\sum_i x_i w_{ij} - l_i w^+_{ij} - h_i w^-_{ij}} n_j

    [1]_, eq. 16. The bias gets nothing. Inputs that are zero can have relevance.

    Parameters
    ----------
    low, high : float or array_like
        Lowest and highest value, of all inputs or in a shape that fits one image.

    Raises
    ------
    ParameterError
        If ``low`` or ``high`` is no number, or ``low`` is nowhere below ``high`` or above it anywhere.

    References
    ----------
    .. [1] Montavon et al. (2017). Explaining nonlinear classification decisions with deep Taylor decomposition. Pattern
       Recognition 65. doi:10.1016/j.patcog.2016.11.008.
    """

    low: ArrayLike
    high: ArrayLike

    def __post_init__(self):
        try:
            low, high = np.asarray(self.low, float), np.asarray(self.high, float)
            is_box = bool(np.all(low <= high) and np.any(low < high))
        except (TypeError, ValueError):
            is_box = False
        if not is_box:
            raise ParameterError(
                f"ZBox: low has to be below high; expected numbers that are, got low={self.low!r}, high={self.high!r}. "
                "Give the range of the images as they are fed to the model."
            )

    def _share(self, kernel, x, pre, relevance, rectified, transport):
        tf = compat.import_tensorflow()
        try:
            low, high = (
                tf.constant(np.broadcast_to(np.asarray(v, np.float32), x.shape)) for v in (self.low, self.high)
            )
        except ValueError as err:
            raise ParameterError(
                f"ZBox: low and high fit no input of the layer; expected what broadcasts to {tuple(x.shape[1:])}, got "
                f"{np.shape(self.low)} and {np.shape(self.high)}. Give numbers, or arrays like one image."
            ) from err
        with tf.GradientTape() as tape:
            tape.watch([x, low, high])
            current = kernel.whole(x) - kernel.positive(low) - kernel.negative(high)
        factor = ratio(relevance, current)
        parts = zip((x, low, high), tape.gradient(current, [x, low, high], factor))
        return Shared(None, sum(value * part for value, part in parts), None, relevance - factor * current)


@dataclasses.dataclass(frozen=True)
class WSquare(Rule):
    r"""Share out by squared weights, whatever the input: for a first layer with inputs of any size.

    .. math:: R_i = \sum_j \frac{w_{ij}^2}{\sum_i w_{ij}^2} n_j

    [1]_, eq. 12.

    Parameters
    ----------
    bias : bool
        Whether :math:`b_j^2` is among the squares, and the bias gets its part.

    References
    ----------
    .. [1] Montavon et al. (2017). Explaining nonlinear classification decisions with deep Taylor decomposition. Pattern
       Recognition 65. doi:10.1016/j.patcog.2016.11.008.
    """

    bias: bool = False

    def _share(self, kernel, x, pre, relevance, rectified, transport):
        bias = kernel.bias if self.bias else None
        return _blind(kernel.squared, x, relevance, None if bias is None else np.square(bias))


@dataclasses.dataclass(frozen=True)
class Flat(Rule):
    r"""Share out evenly among all inputs that a unit sees: for the first layer.

    .. math:: R_i = \sum_{j: i \to j} \frac{1}{\#\{i \to j\}} n_j

    [1]_. Cells of padding inside the layer are no inputs.

    Parameters
    ----------
    bias : bool
        Whether the bias counts as one input more.

    References
    ----------
    .. [1] Lapuschkin et al. (2019). Unmasking Clever Hans predictors and assessing what machines really learn. Nature
       Communications 10. doi:10.1038/s41467-019-08987-4, supplementary note 3.
    """

    bias: bool = False

    def _share(self, kernel, x, pre, relevance, rectified, transport):
        bias = kernel.bias if self.bias else None
        return _blind(kernel.ones, x, relevance, None if bias is None else np.ones_like(bias))


@dataclasses.dataclass(frozen=True)
class Pass(Rule):
    """Hand relevance on as it is, unit by unit: :math:`R_i = n_i`.

    For layers that work on each unit by itself. It is the only rule that passes sigmoid, tanh and other nonlinearities
    that are neither ReLUs nor slopes; it ignores what they do.
    """


def ratio(numerator: Any, denominator: Any) -> Any:
    """Divide tensors; zero where the denominator is."""
    return compat.import_tensorflow().math.divide_no_nan(numerator, denominator)


def stabilized(values: Any, epsilon: float) -> Any:
    """Move values away from zero by ``epsilon``; zero itself counts as positive."""
    tf = compat.import_tensorflow()
    return values + tf.where(values >= 0, tf.constant(epsilon, values.dtype), tf.constant(-epsilon, values.dtype))


def _alpha_beta(alpha, beta, kind, relevance, positive, negative, bias):
    tf = compat.import_tensorflow()
    zeros = tf.zeros_like(bias)
    above, below = {"split": (tf.nn.relu(bias), -tf.nn.relu(-bias)), "whole": (bias, bias), None: (zeros, zeros)}[kind]
    # A product, so that a weight of zero leaves nothing: not even a share of what cannot be shared out.
    excited = alpha * ratio(relevance, positive + above)
    inhibited = -beta * ratio(relevance, negative + below)
    of_bias = excited * above + inhibited * below
    absorbed = relevance - excited * (positive + above) - inhibited * (negative + below)
    return excited, inhibited, of_bias, absorbed


def _blind(apply, x, relevance, bias):
    """Share out by weights that do not look at the input."""
    tf = compat.import_tensorflow()
    ones = tf.ones_like(x)
    with tf.GradientTape() as tape:
        tape.watch(ones)
        total = apply(ones)
    bias = tf.zeros((1,)) if bias is None else tf.constant(bias)
    factor = ratio(relevance, total + bias)
    return Shared(None, tape.gradient(total, ones, factor), factor * bias, relevance - factor * (total + bias))


def _check_not_negative(rule, name):
    value = getattr(rule, name)
    if not is_real(value) or not 0 <= value < np.inf:
        raise ParameterError(
            f"{type(rule).__name__}: {name} is no number from zero up; expected one, got {value!r}. Give such a number."
        )


def _check_bias(rule, choices):
    if rule.bias not in choices:
        raise ParameterError(
            f"{type(rule).__name__}: bias says how the bias takes part; expected one of {list(choices)}, got "
            f"{rule.bias!r}. Give one of these."
        )
