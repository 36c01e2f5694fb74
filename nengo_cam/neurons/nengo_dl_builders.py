"""How NengoDL runs the neurons: as TensorFlow operations, where its fallback calls Python at every step.

Importing this module needs TensorFlow and NengoDL, and registers the builders with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from nengo.neurons import NeuronType
from nengo_dl.neuron_builders import (
    RectifiedLinearBuilder,
    SimNeuronsBuilder,
    SpikingRectifiedLinearBuilder,
    TFNeuronBuilder,
)
from numpy.typing import ArrayLike

from .clipping import ClippedIntegrateAndFire, ClippedRectifiedLinear, SignedClippedIntegrateAndFire
from .integrate_and_fire import IntegrateAndFire, SignedIntegrateAndFire

__all__ = [
    "ClippedIntegrateAndFireBuilder",
    "ClippedRectifiedLinearBuilder",
    "IntegrateAndFireBuilder",
    "SignedClippedIntegrateAndFireBuilder",
    "SignedIntegrateAndFireBuilder",
]


class IntegrateAndFireBuilder(SpikingRectifiedLinearBuilder):
    """Build a group of `IntegrateAndFire` neurons; the training step, the rate form, is inherited."""

    def step(self, J: tf.Tensor, dt: tf.Tensor, voltage: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step; give the output and the new states, as all builders here do."""
        voltage += J * dt
        n_spikes = tf.nn.relu(tf.floor(voltage))
        return n_spikes * self.alpha, voltage - n_spikes


class SignedIntegrateAndFireBuilder(IntegrateAndFireBuilder):
    """Build a group of `SignedIntegrateAndFire` neurons."""

    def build_pre(self, signals: Any, config: Any) -> None:
        """Gather what is constant; see ``nengo_dl.builder.OpBuilder.build_pre``."""
        super().build_pre(signals, config)
        self.negative_threshold = signals.op_constant(
            [op.neurons for op in self.ops],
            [op.J.shape[0] for op in self.ops],
            "negative_threshold",
            signals.dtype,
        )

    def step(self, J: tf.Tensor, dt: tf.Tensor, voltage: tf.Tensor, spike_count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step."""
        voltage += J * dt
        taken_back = -tf.nn.relu(-tf.floor(voltage + self.negative_threshold))
        n_spikes = tf.where(voltage < 0, tf.maximum(taken_back, -spike_count), tf.floor(voltage))
        return n_spikes * self.alpha, voltage - n_spikes, spike_count + n_spikes


class _Clipped(TFNeuronBuilder):
    """What builders of clipped neurons have besides."""

    def build_pre(self, signals: Any, config: Any) -> None:
        super().build_pre(signals, config)
        self.max_value = _constant(self.ops, signals, lambda neurons: neurons.max_value)
        self.allowed = _constant(
            self.ops, signals, lambda neurons: neurons.max_value / neurons.amplitude * signals.dt_val
        )


class ClippedRectifiedLinearBuilder(_Clipped, RectifiedLinearBuilder):
    """Build a group of `ClippedRectifiedLinear` neurons."""

    def step(self, J: tf.Tensor, dt: tf.Tensor) -> tf.Tensor:
        """Compute the output."""
        return tf.minimum(super().step(J, dt), self.max_value)


class ClippedIntegrateAndFireBuilder(_Clipped, IntegrateAndFireBuilder):
    """Build a group of `ClippedIntegrateAndFire` neurons."""

    def step(self, J: tf.Tensor, dt: tf.Tensor, voltage: tf.Tensor, allowance: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step."""
        voltage += J * dt
        allowance += self.allowed
        n_spikes = tf.nn.relu(tf.floor(tf.minimum(voltage, allowance)))
        return n_spikes * self.alpha, voltage - n_spikes, allowance - n_spikes

    def training_step(self, J: tf.Tensor, dt: tf.Tensor, **state: tf.Tensor) -> tf.Tensor:
        """Compute the rate form."""
        return tf.minimum(super().training_step(J, dt, **state), self.max_value)


class SignedClippedIntegrateAndFireBuilder(_Clipped, SignedIntegrateAndFireBuilder):
    """Build a group of `SignedClippedIntegrateAndFire` neurons."""

    def step(
        self, J: tf.Tensor, dt: tf.Tensor, voltage: tf.Tensor, spike_count: tf.Tensor, allowance: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step."""
        voltage += J * dt
        allowance += self.allowed
        taken_back = -tf.nn.relu(-tf.floor(voltage + self.negative_threshold))
        fired = tf.floor(tf.minimum(voltage, allowance))
        n_spikes = tf.where(voltage < 0, tf.maximum(taken_back, -spike_count), fired)
        return n_spikes * self.alpha, voltage - n_spikes, spike_count + n_spikes, allowance - n_spikes

    def training_step(self, J: tf.Tensor, dt: tf.Tensor, **state: tf.Tensor) -> tf.Tensor:
        """Compute the rate form."""
        return tf.minimum(super().training_step(J, dt, **state), self.max_value)


def _constant(operators: list, signals: Any, value_of: Callable[[NeuronType], ArrayLike]) -> tf.Tensor:
    """Put a parameter of all neurons of a group in a row; NengoDL's own ``op_constant`` takes one for a type only."""
    values = [np.broadcast_to(value_of(op.neurons), op.J.shape) for op in operators]
    return tf.constant(np.concatenate(values)[None], dtype=signals.dtype)


# NengoDL has no function for it: its documentation has types added to this dictionary.
SimNeuronsBuilder.TF_NEURON_IMPL.update(
    {
        ClippedRectifiedLinear: ClippedRectifiedLinearBuilder,
        IntegrateAndFire: IntegrateAndFireBuilder,
        ClippedIntegrateAndFire: ClippedIntegrateAndFireBuilder,
        SignedIntegrateAndFire: SignedIntegrateAndFireBuilder,
        SignedClippedIntegrateAndFire: SignedClippedIntegrateAndFireBuilder,
    }
)
