"""How NengoDL runs the neurons: as TensorFlow operations, where its fallback calls Python at every step.

Importing this module needs TensorFlow and NengoDL, and registers the builders with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
from .sigma_delta import SigmaDelta

__all__ = [
    "ClippedIntegrateAndFireBuilder",
    "ClippedRectifiedLinearBuilder",
    "IntegrateAndFireBuilder",
    "SigmaDeltaBuilder",
    "SignedClippedIntegrateAndFireBuilder",
    "SignedIntegrateAndFireBuilder",
]


class IntegrateAndFireBuilder(SpikingRectifiedLinearBuilder):
    """Build a group of `IntegrateAndFire` neurons; the training step, the rate form, is inherited."""

    def build_pre(self, signals: Any, config: Any) -> None:
        """Gather what is constant; see ``nengo_dl.builder.OpBuilder.build_pre``."""
        super().build_pre(signals, config)
        self.floor = _bounds(self.ops, signals, "floor", -np.inf)

    def step(self, J: tf.Tensor, dt: tf.Tensor, voltage: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step; give the output and the new states, as all builders here do."""
        voltage += J * dt
        n_spikes = tf.nn.relu(tf.floor(voltage))
        return n_spikes * self.alpha, self.above_floor(voltage - n_spikes)

    def above_floor(self, voltage: tf.Tensor) -> tf.Tensor:
        """Keep voltages above the floors of those neurons that have one."""
        return voltage if self.floor is None else tf.maximum(voltage, self.floor)


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
        self.memory = _bounds(self.ops, signals, "memory", np.inf)

    def step(self, J: tf.Tensor, dt: tf.Tensor, voltage: tf.Tensor, spike_count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step."""
        voltage += J * dt
        taken_back = -tf.nn.relu(-tf.floor(voltage + self.negative_threshold))
        n_spikes = tf.where(voltage < 0, tf.maximum(taken_back, -spike_count), tf.floor(voltage))
        return n_spikes * self.alpha, *self.forget(voltage - n_spikes, spike_count + n_spikes)

    def forget(self, voltage: tf.Tensor, spike_count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Bound what those neurons remember whose memory is bounded."""
        if self.memory is None:
            return voltage, spike_count
        spike_count = tf.minimum(spike_count, self.memory)
        return tf.where(spike_count > 0, voltage, tf.maximum(voltage, -self.memory)), spike_count


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
        return n_spikes * self.alpha, self.above_floor(voltage - n_spikes), allowance - n_spikes

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
        remembered = self.forget(voltage - n_spikes, spike_count + n_spikes)
        return n_spikes * self.alpha, *remembered, allowance - n_spikes

    def training_step(self, J: tf.Tensor, dt: tf.Tensor, **state: tf.Tensor) -> tf.Tensor:
        """Compute the rate form."""
        return tf.minimum(super().training_step(J, dt, **state), self.max_value)


class SigmaDeltaBuilder(RectifiedLinearBuilder):
    """Build a group of `SigmaDelta` neurons."""

    spiking = True

    def build_pre(self, signals: Any, config: Any) -> None:
        """Gather what is constant; see ``nengo_dl.builder.OpBuilder.build_pre``."""
        super().build_pre(signals, config)
        self.quantum = _constant(self.ops, signals, lambda neurons: neurons.quantum)
        self.threshold = _constant(self.ops, signals, lambda neurons: neurons.threshold)
        self.height = _constant(self.ops, signals, lambda neurons: neurons.amplitude * neurons.quantum)
        self.largest_goal = _constant(self.ops, signals, lambda neurons: neurons.largest_goal)
        self.largest = _constant(
            self.ops, signals, lambda neurons: np.inf if neurons.max_value is None else neurons.max_value
        )
        self.stored = _STORED[tf.as_dtype(signals.dtype)]
        # All that a number can hold: a graded spike.
        bits = lambda neurons: 2**12 if neurons.bits is None else neurons.bits  # noqa: E731 (as above)
        self.bits = tf.cast(_constant(self.ops, signals, bits), self.stored.integer)

    def step(self, J: tf.Tensor, dt: tf.Tensor, level: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Advance the neurons by one time step."""
        error = tf.minimum(tf.nn.relu(J), self.largest_goal) / self.quantum - level
        size = tf.abs(error)
        unit = self.unit(size)
        change = tf.sign(error) * unit * tf.floor(size / unit + 0.5)
        level += tf.where(size < self.threshold, tf.zeros_like(change), change)
        return level * self.height, level

    def unit(self, size: tf.Tensor) -> tf.Tensor:
        """Find the power of two that spikes of these sizes are multiples of."""
        integer, fraction_bits, offset = self.stored
        # TensorFlow has no frexp, and a logarithm is rounded: the exponent is read as it is stored.
        exponent = tf.bitwise.right_shift(tf.bitcast(tf.maximum(size, 1), integer), fraction_bits) - offset
        exponent = tf.maximum(exponent - self.bits + 1, 0)
        return tf.bitcast(tf.bitwise.left_shift(exponent + offset, fraction_bits), size.dtype)

    def training_step(self, J: tf.Tensor, dt: tf.Tensor, **state: tf.Tensor) -> tf.Tensor:
        """Compute the rate form."""
        return tf.minimum(super().step(J, dt), self.largest)


class _Stored(NamedTuple):
    """How a floating-point number is stored, by IEEE 754."""

    integer: tf.DType
    fraction_bits: int
    offset: int


_STORED = {tf.float32: _Stored(tf.int32, 23, 127), tf.float64: _Stored(tf.int64, 52, 1023)}


def _constant(operators: list, signals: Any, value_of: Callable[[NeuronType], ArrayLike]) -> tf.Tensor:
    """Put a parameter of all neurons of a group in a row; NengoDL's own ``op_constant`` takes one for a type only."""
    values = [np.broadcast_to(value_of(op.neurons), op.J.shape) for op in operators]
    return tf.constant(np.concatenate(values)[None], dtype=signals.dtype)


def _bounds(operators: list, signals: Any, name: str, none: float) -> tf.Tensor | None:
    """Gather bounds that neurons of a group may have, None if none of them has one."""
    if all(getattr(op.neurons, name) is None for op in operators):
        return None

    def bound(neurons: NeuronType) -> float:
        value = getattr(neurons, name)
        return none if value is None else value

    return _constant(operators, signals, bound)


# NengoDL has no function for it: its documentation has types added to this dictionary.
SimNeuronsBuilder.TF_NEURON_IMPL.update(
    {
        ClippedRectifiedLinear: ClippedRectifiedLinearBuilder,
        IntegrateAndFire: IntegrateAndFireBuilder,
        ClippedIntegrateAndFire: ClippedIntegrateAndFireBuilder,
        SignedIntegrateAndFire: SignedIntegrateAndFireBuilder,
        SignedClippedIntegrateAndFire: SignedClippedIntegrateAndFireBuilder,
        SigmaDelta: SigmaDeltaBuilder,
    }
)
