"""Parameters of neuron types that Nengo's own classes of parameters do not check."""

from __future__ import annotations

import numpy as np
from nengo.exceptions import ValidationError
from nengo.neurons import NeuronType
from nengo.params import NumberParam, Parameter
from nengo.utils.numpy import is_number
from numpy.typing import ArrayLike, NDArray

__all__ = ["FiniteNumberParam", "MaxValueParam"]


class FiniteNumberParam(NumberParam):
    """A finite number in a range."""

    def coerce(self, instance: NeuronType, value: float | None) -> float | None:
        """Check a value; see `nengo.params.Parameter.coerce`.

        Raises
        ------
        nengo.exceptions.ValidationError
            If it is no number, not finite or out of the range.
        """
        # First, because what is not a number cannot be compared: Nengo would stop at its own comparison.
        if value is not None and is_number(value) and not np.isfinite(value):
            raise ValidationError(
                f"expected a finite number, got {value!r}. Leave it out for the default.", attr=self.name, obj=instance
            )
        return super().coerce(instance, value)


class MaxValueParam(Parameter):
    """A positive number, or one for each neuron."""

    equatable = True

    def coerce(self, instance: NeuronType, value: ArrayLike | None) -> float | NDArray | None:
        """Check a value and make it read-only; see `nengo.params.Parameter.coerce`.

        Raises
        ------
        nengo.exceptions.ValidationError
            If it is neither a positive number nor a row of them.
        """
        try:
            given = super().coerce(instance, value)
            if given is None:
                # Only where the parameter is optional; the base class refuses it elsewhere.
                return None
            array = np.array(given, dtype=float)
        except (TypeError, ValueError):
            array = np.zeros((0, 0))
        if array.ndim > 1 or not array.size or not (np.isfinite(array) & (array > 0)).all():
            raise ValidationError(
                f"expected a positive number or one for each neuron, got {value!r}. Try 6.",
                attr=self.name,
                obj=instance,
            )
        array.setflags(write=False)
        return array if array.ndim else float(array)

    def hashvalue(self, instance: NeuronType) -> bytes:
        """Make something to hash of the value, which arrays do not offer by themselves."""
        value = self.__get__(instance, None)
        return b"" if value is None else np.asarray(value).tobytes()
