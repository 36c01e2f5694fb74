"""Activations that spike by themselves and filters over time: what stands for layers of KerasSpiking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nengo
import numpy as np
from nengo.params import NdarrayParam, NumberParam
from numpy.typing import ArrayLike, NDArray

from ... import compat
from ...exceptions import UnsupportedModelError
from .base import NativeConverter

__all__ = ["ConvertFilterForm", "ConvertSpikingForm", "ElementwiseFilter"]


class ConvertSpikingForm(NativeConverter):
    """``SpikingActivation``: neurons that fire at the rate of an activation [Hz], `nengo.RegularSpiking`."""

    def convert(self, node_id: int) -> Any:
        base = self.activation_map.get(self.layer.activation)
        if base is None:
            name = getattr(self.layer.activation, "__name__", self.layer.activation)
            raise UnsupportedModelError(
                f"SpikingActivation {self.layer.name!r}: no neurons have the rates of {name!r}; expected an activation "
                f"that NengoDL knows, got {name!r}. Use 'relu'.",
            )
        voltage = self._first_voltage(node_id)
        # Without a seed KerasSpiking draws anew for each call, evenly from 0 to 1, as Nengo does by its own seed.
        state = {} if voltage is None else {"initial_state": {"voltage": voltage}}
        output = self.add_nengo_obj(node_id, activation=nengo.RegularSpiking(base, **state))
        self.add_connection(node_id, output)
        return output

    def _first_voltage(self, node_id):
        """Draw what KerasSpiking draws for the first image of a batch."""
        if self.layer.seed is None:
            return None
        tf = compat.import_tensorflow()
        shape = [1, *self.output_shape(node_id)]
        drawn = tf.random.stateless_uniform(shape, seed=(self.layer.seed, self.layer.seed), dtype=tf.float32)
        return np.ravel(drawn.numpy())


class ConvertFilterForm(NativeConverter):
    """``Lowpass`` and ``Alpha``: a node that filters without the step of delay that a connection's synapse has."""

    def convert(self, node_id: int) -> Any:
        source = self.get_input_obj(node_id)
        process = _process(self.layer.order, np.array(self.layer.tau), np.array(self.layer.initial_level))
        size = source.size_out
        node = nengo.Node(process, size_in=size, size_out=size, label=f"{self.layer.name}.{node_id}")
        self.set_trainable(nengo.Connection(source, node, synapse=self.synapse_after(source)), False)
        return node


def _process(order, tau, initial_level):
    if tau.size > 1 or initial_level.any():
        return ElementwiseFilter(order, tau, initial_level)
    # All elements alike: Nengo's own, which simulators run for all of them at once.
    return nengo.Lowpass(tau.item()) if order == 1 else nengo.Alpha(tau.item())


class ElementwiseFilter(nengo.Process):
    r"""Filter each element with a time constant of its own, as trained layers of KerasSpiking do.

    A lowpass with :math:`a = e^{-dt / \tau}` is :math:`x_t = a\,x_{t-1} + (1 - a)\,u_t`; the output of an alpha
    filter is the second of two states, with the exact response to input that is held over a step [1]_.

    Parameters
    ----------
    order : int
        1 for a lowpass, 2 for an alpha filter.
    tau : array_like of shape (1,) or (size,)
        Time constants [s].
    initial_level : array_like of shape (1,) or (size,)
        What comes out before anything came in.

    References
    ----------
    .. [1] KerasSpiking 0.3.0, ``keras_spiking.layers.AlphaCell``.
    """

    order = NumberParam("order", low=1, high=2)
    tau = NdarrayParam("tau", shape=("*",))
    initial_level = NdarrayParam("initial_level", shape=("*",))

    def __init__(self, order: int, tau: ArrayLike, initial_level: ArrayLike = (0.0,)) -> None:
        super().__init__()
        self.order = order
        self.tau = tau
        self.initial_level = initial_level

    def make_state(
        self, shape_in: tuple[int, ...], shape_out: tuple[int, ...], dt: float, dtype: Any = None
    ) -> dict[str, NDArray[Any]]:
        """Return the states before the first step: the output's last."""
        state = np.zeros((self.order, *shape_out), dtype)
        state[-1] = self.initial_level
        return {"X": state}

    def make_step(
        self, shape_in: tuple[int, ...], shape_out: tuple[int, ...], dt: float, rng: Any, state: dict[str, NDArray[Any]]
    ) -> Callable[[float, NDArray[Any]], NDArray[Any]]:
        """Return what advances the states by a step."""
        X = state["X"]  # noqa: N806 (Nengo's name)
        # As KerasSpiking: a time constant that training has brought below zero is none.
        tau = np.maximum(self.tau, 1e-8)
        ratio = dt / tau
        decay = np.exp(-ratio)

        def lowpass(t, u):
            X[0] = decay * X[0] + (1 - decay) * u
            return X[0]

        def alpha(t, u):
            first, second = X
            X[:] = (
                decay * ((1 - ratio) * first - ratio / tau * second) + decay * ratio / tau * u,
                decay * (dt * first + (1 + ratio) * second) + (1 - decay * (1 + ratio)) * u,
            )
            return X[1]

        return lowpass if self.order == 1 else alpha
