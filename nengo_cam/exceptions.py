"""Every error and warning that nengo_cam raises on purpose, with `CAMError` at the root.

A message reads ``<object>: <what is wrong>; expected <x>, got <y>. <One imperative remedy>.`` Each class also derives
from the built-in exception that fits, so that ``except ValueError`` keeps working, and keeps the facts that a program
may want to read as attributes. All of them pickle, so they cross process boundaries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AnswerWarning",
    "AttributionWarning",
    "CAMError",
    "CAMWarning",
    "ChannelMismatchError",
    "CompatibilityError",
    "DatasetUnavailableError",
    "DepthWarning",
    "HeadError",
    "ImageError",
    "InputFileError",
    "InputRangeWarning",
    "LabelError",
    "LayoutError",
    "MissingCNNError",
    "MissingDependencyError",
    "ModelTypeError",
    "MovingInputWarning",
    "NonSpikingWarning",
    "OutputPathError",
    "ParameterError",
    "RectifiedInputWarning",
    "ResultError",
    "ResultSizeError",
    "SilentFeaturesWarning",
    "SimulatorError",
    "TimeStepWarning",
    "UnsafeFileError",
    "UnsupportedModelError",
    "VerificationError",
]


class CAMError(Exception):
    """Root of all errors of this package.

    Parameters
    ----------
    message : str
        The whole message.
    **facts
        Values that a program may want to read; they become attributes and survive pickling.
    """

    def __init__(self, message: str, **facts: Any):
        super().__init__(message)
        self.__dict__.update(facts)


class CompatibilityError(CAMError, ImportError):
    """TensorFlow, Keras and NengoDL as installed or imported cannot work together."""


class MissingDependencyError(CAMError, ImportError):
    """An optional package or program that this call needs is not there."""


class ModelTypeError(CAMError, TypeError):
    """The object given is not a Keras model that can be read."""


class UnsupportedModelError(CAMError, ValueError):
    """A Keras model holds something that cannot be converted."""


class HeadError(CAMError, ValueError):
    """The model does not end in a head that class-activation maps can be read from.

    Parameters
    ----------
    message : str
        The whole message.
    layers, poolable : iterable of str
        See the attributes.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers seen, from the input of the head to the output of the model.
    poolable : tuple of str
        Names of the layers whose output could be pooled.
    """

    def __init__(self, message: str, *, layers: Iterable[str] = (), poolable: Iterable[str] = ()):
        super().__init__(message, layers=tuple(layers), poolable=tuple(poolable))


class ChannelMismatchError(CAMError, ValueError):
    """Activity and readout disagree on the number of channels."""


class ImageError(CAMError, ValueError):
    """Images have a shape, dtype or value that the network cannot take."""


class LabelError(CAMError, ValueError):
    """A label does not exist, or the names given do not fit the readout."""


class LayoutError(CAMError, ValueError):
    """Arrays of a user's own are laid out, scaled or timed otherwise than they are read.

    Attributes
    ----------
    layout : str
        What is wrong, as `nengo_cam.cam_dataset` calls it: "channels first", "time first", "flat" and so on; "unknown"
        if no other reading fits either.
    """


class MissingCNNError(CAMError, ValueError):
    """A network that was built by hand has no CNN behind it, and one is needed to compare it with."""


class ParameterError(CAMError, ValueError):
    """An argument has a value out of its range."""


class SimulatorError(CAMError, ValueError):
    """A simulator cannot run this network, or is not one that is known."""


class ResultError(CAMError, ValueError):
    """A Dataset does not have what a reader of results needs."""


class ResultSizeError(CAMError, MemoryError):
    """A result would be larger than the memory that is free.

    Attributes
    ----------
    n_bytes, free : int
        Size of the result, and what was free when it was asked for [bytes].
    """


class VerificationError(CAMError, AssertionError):
    """A converted network does not compute what its source computes.

    Attributes
    ----------
    verification : Verification
        The differences found by `nengo_cam.CAMNetwork.verify`.
    largest_difference : float
        The difference found by `nengo_cam.models.simplify.balance_channels`.
    """


class DatasetUnavailableError(CAMError, OSError):
    """A data set is neither in the cache nor to be had."""


class InputFileError(CAMError, ValueError):
    """A file does not hold what it should."""


class UnsafeFileError(InputFileError):
    """Reading a file would run code that it contains."""


class OutputPathError(CAMError, OSError):
    """A result cannot be written where it should go."""


class CAMWarning(UserWarning):
    """Root of all warnings of this package."""


class AnswerWarning(CAMWarning):
    """A spiking network answers otherwise than the CNN that it came from, so its maps are those of another answer."""


class AttributionWarning(CAMWarning):
    """A method says nothing of the images in this model, however sharp its maps are."""


class TimeStepWarning(CAMWarning):
    """A model was made for another time step than it runs with."""


class DepthWarning(CAMWarning):
    """Spikes of one size were asked for, and the network has more rectified layers than they carry."""


class MovingInputWarning(CAMWarning):
    """Input moves, and the neurons remember what was shown before: maps are late by tens of steps."""


class SilentFeaturesWarning(CAMWarning):
    """No neuron that is pooled has spiked: the maps are zero."""


class InputRangeWarning(CAMWarning):
    """Images lie far outside the range of those that the network was calibrated on."""


class NonSpikingWarning(CAMWarning):
    """Spiking neurons were asked for, but some layers stay non-spiking."""


class RectifiedInputWarning(CAMWarning):
    """Spiking neurons that rectify fluctuating input, and so fire more than they should, layer after layer."""
