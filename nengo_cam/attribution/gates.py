r"""What goes back through a rectified layer: the rules of gradient methods, for `nengo_cam.models.replay.Replay`.

The derivative of a ReLU is a gate, open or closed. In a spiking network there are two candidates for what decides. The
mean current :math:`\bar z = W \bar x + b` that the measured input drives is continuous and converges to the CNN's
pre-activation. The activity itself only says whether a neuron has ever fired, so one that overshot in the first
milliseconds would stay open for ever: on the digits, Input x Gradient agreed with the CNN to .72 after 20 steps by
activity, and to .92 by current.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import compat
from ..exceptions import ParameterError
from ..models.replay import gate as current_gate

__all__ = ["activity_gate", "choose_gate", "deconvnet_rule", "guided_rule"]

#: From the gradient of a layer's output, its pre-activation, its output and its clip to the gradient of the
#: pre-activation; see `nengo_cam.models.replay.gate`.
Rule = Callable[[Any, Any, Any, Any], Any]


def activity_gate(upstream: Any, pre: Any, output: Any, max_value: Any) -> Any:
    """Pass back the gradient where something was put out, and less than the clip.

    Parameters
    ----------
    upstream, pre, output, max_value
        As for `nengo_cam.models.replay.gate`; the pre-activation is not used.

    Returns
    -------
    tensor of shape (N, ...)
        Gradient of the pre-activation.
    """
    return current_gate(upstream, output, output, max_value)


#: Gates by the name that users choose them by.
GATES: dict[str, Rule] = {"current": current_gate, "activity": activity_gate}


def choose_gate(name: Any) -> Rule:
    """Look up a gate.

    Parameters
    ----------
    name : str
        "current" or "activity".

    Returns
    -------
    callable
        The rule.

    Raises
    ------
    ParameterError
        If there is no gate of this name.
    """
    if not isinstance(name, str) or name not in GATES:
        raise ParameterError(f"gate: expected one of {list(GATES)}, got {name!r}. Leave it out for 'current'.")
    return GATES[name]


def guided_rule(gate: Rule) -> Rule:
    """Make the rule of guided backpropagation [1]_: what is negative stops, and so does what the gate closes for.

    Parameters
    ----------
    gate : callable
        What `choose_gate` gives.

    Returns
    -------
    callable
        The rule.

    References
    ----------
    .. [1] Springenberg et al. (2015). Striving for Simplicity: The All Convolutional Net. ICLR workshop.
       arXiv:1412.6806, section 3.4.
    """

    def guided(upstream, pre, output, max_value):
        tf = compat.import_tensorflow()
        return gate(tf.nn.relu(upstream), pre, output, max_value)

    return guided


def deconvnet_rule(upstream: Any, pre: Any, output: Any, max_value: Any) -> Any:
    """Pass back what is positive, whatever the layer did [1]_.

    Parameters
    ----------
    upstream, pre, output, max_value
        As for `nengo_cam.models.replay.gate`; only the first is used.

    Returns
    -------
    tensor of shape (N, ...)
        What goes on backward.

    References
    ----------
    .. [1] Zeiler and Fergus (2014). Visualizing and Understanding Convolutional Networks. ECCV. arXiv:1311.2901,
       section 2.1.
    """
    return compat.import_tensorflow().nn.relu(upstream)
