"""What rules are told when a simulator is built, and what they are told when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from nengo.builder.transforms import ConvInc

from ..exceptions import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nengo.builder import Operator, Signal
    from numpy.typing import DTypeLike

__all__ = ["Build", "StepRange"]


class Build:
    """What is known when a simulator is built.

    Attributes
    ----------
    dt : float
        Time step [s].
    dtype : numpy.dtype
        Precision of all signals.
    minibatch_size : int
        Number of items that run at a time.
    exact : bool
        Whether results have to be the same, bit by bit, for any number of steps and items at a time: in double
        precision. Single precision is for speed.
    uses_tensorflow : bool
        Whether TensorFlow is needed anyway: for convolutions in single precision, and for NengoDL's TensorNodes.
    """

    def __init__(self, dt: float, dtype: DTypeLike, minibatch_size: int, operators: Sequence[Operator]):
        self.dt = dt
        self.dtype = np.dtype(dtype)
        self.minibatch_size = minibatch_size
        self.exact = self.dtype == np.float64
        self.uses_tensorflow = not self.exact and any(isinstance(op, ConvInc) for op in operators)
        self.uses_tensorflow |= any(type(op).__module__.startswith("nengo_dl.") for op in operators)
        # By the base: who reads a part of a signal keeps all of it.
        self._read = {id(signal.base) for op in operators for signal in op.reads}
        self._written = {id(s.base): op for op in operators for s in op.sets + op.incs + op.updates}

    def is_read(self, signal: Signal) -> bool:
        """Whether any operator reads a signal or a part of it."""
        return id(signal.base) in self._read

    def constant(self, signal: Signal) -> np.ndarray:
        """Give the value of a signal that has to be constant.

        Raises
        ------
        SimulatorError
            If an operator writes it.
        """
        if id(signal.base) in self._written:
            writer = self._written[id(signal.base)]
            raise SimulatorError(
                f"signal {signal.name!r}: weights have to be constant; expected no operator that changes them, got "
                f"{writer}. Use nengo_dl.Simulator."
            )
        return np.asarray(signal.initial_value, self.dtype)


class StepRange:
    """The consecutive time steps of a chunk, and where what they give is recorded.

    Parameters
    ----------
    start : int
        Number of steps before the first.
    n_steps : int
        Number of steps.
    dt : float
        Time step [s].
    places : dict of {int: ndarray of shape (batch, n_steps, size)}, optional
        By the id of a rule, where its first output will be recorded.

    Attributes
    ----------
    times : ndarray of shape (n_steps,)
        Simulation time of each step [s], in double precision; the first step of all has ``dt``.
    """

    def __init__(self, start: int, n_steps: int, dt: float, places: Mapping[int, np.ndarray] | None = None):
        self.start = start
        self.n_steps = n_steps
        self._places = places or {}
        # Multiplied as Nengo's clock does it; sums would drift.
        self.times = np.arange(start + 1, start + n_steps + 1) * dt

    def storage(self, rule: object, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Give a rule an array for its first output: where it will be recorded, if it is recorded as it is.

        Parameters
        ----------
        rule : Rule
            Who asks.
        shape : tuple of int
            What it needs, (batch, steps, size).
        dtype : numpy.dtype
            Precision.

        Returns
        -------
        ndarray
            Not initialized.
        """
        # Of another shape if all items are the same: the simulator copies these into their places itself.
        place = self._places.get(id(rule))
        return place if place is not None and place.shape == shape else np.empty(shape, dtype)

    @property
    def stop(self) -> int:
        """Number of steps after the last."""
        return self.start + self.n_steps
