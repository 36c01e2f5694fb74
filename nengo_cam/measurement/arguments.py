"""What measurements are given, checked before anything is built."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import compat
from ..checks.parameters import check_count, check_positive, check_seed
from ..conversion.network import CAMNetwork
from ..exceptions import LabelError, ModelTypeError, ParameterError

__all__ = ["check_classes", "check_network", "check_rates", "check_run", "name_neurons"]


def check_network(net: Any, *, name: str = "net") -> None:
    """Check that this is a converted network.

    Parameters
    ----------
    net : object
        What the user gave.
    name : str
        What it is called in messages.

    Raises
    ------
    ModelTypeError
        If it is not a `CAMNetwork`.
    """
    if not isinstance(net, CAMNetwork):
        remedy = "what nengo_cam.convert makes of a Keras model"
        if isinstance(net, compat.import_nengo_dl().Converter):
            remedy = "nengo_cam.from_converter(converter)"
        elif isinstance(net, nengo.Network):
            remedy = "nengo_cam.from_network(net, ...)"
        raise ModelTypeError(
            f"{name}: expected a CAMNetwork, got {type(net).__module__}.{type(net).__name__}. Pass {remedy}."
        )


def check_run(net: Any, *, n_steps: Any, minibatch_size: Any, dt: Any, seed: Any, name: str = "net") -> None:
    """Check what every run is given.

    Parameters
    ----------
    net : object
        Has to be a `CAMNetwork`.
    n_steps, minibatch_size, dt, seed : object
        Time steps, images at a time (or None), time step [s], and seed (or None).
    name : str
        What the network is called in messages.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ParameterError
        If ``n_steps`` or ``minibatch_size`` is not a whole number of at least 1, ``dt`` is not positive, or ``seed`` is
        not a seed.
    """
    check_network(net, name=name)
    check_count("n_steps", n_steps)
    check_count("minibatch_size", minibatch_size, optional=True)
    check_positive("dt", dt, unit="seconds")
    check_seed(seed)


def name_neurons(neurons: Any, *, name: str = "neurons") -> dict[str, nengo.neurons.NeuronType]:
    """Give each of some spiking neuron types a name of its own.

    Parameters
    ----------
    neurons : object
        What the user gave: a type, a sequence of them, or a dict by name.
    name : str
        What the argument is called, for messages.

    Returns
    -------
    dict of {str: nengo.neurons.NeuronType}
        Named after their classes unless the user names them.

    Raises
    ------
    ParameterError
        If something is not a spiking neuron type, or a name is missing or comes twice.
    """
    named = neurons if isinstance(neurons, dict) else None
    types = list(named.values() if named else neurons) if isinstance(neurons, (dict, list, tuple)) else [neurons]
    if not types:
        raise ParameterError(f"{name}: expected at least one neuron type, got none. Leave it out.")
    for neuron_type in types:
        if isinstance(neuron_type, type):
            raise ParameterError(
                f"{name}: expected instances of neuron types, got the class {neuron_type.__name__}. Call it."
            )
        if neuron_type is not None and not isinstance(neuron_type, nengo.neurons.NeuronType):
            raise ParameterError(
                f"{name}: expected Nengo neuron types, got {neuron_type!r}. Try nengo_cam.SigmaDelta()."
            )
        if neuron_type is None or not neuron_type.spiking:
            raise ParameterError(
                f"{name}: the rate network is what all are compared with; expected spiking neuron types, got "
                f"{neuron_type!r}, which does not spike. Leave it out."
            )
    named = named or {type(neuron_type).__name__: neuron_type for neuron_type in types}
    if len(named) < len(types):
        raise ParameterError(
            f"{name}: some have the same class; expected different ones, got {types!r}. Name them in a dict."
        )
    if not all(isinstance(name, str) for name in named):
        raise ParameterError(f"{name}: expected names that are strings, got {list(named)!r}. Name them by strings.")
    return dict(named)


def check_rates(target_rates: Any) -> list[float]:
    """Check firing rates.

    Parameters
    ----------
    target_rates : object
        What the user gave: a rate or several [Hz].

    Returns
    -------
    list of float

    Raises
    ------
    ParameterError
        If there is none, one is not positive, or one comes twice.
    """
    rates = list(target_rates) if np.iterable(target_rates) else [target_rates]
    for rate in rates:
        check_positive("target_rates", rate, unit="Hz")
    rates = [float(rate) for rate in rates]
    if not rates or len(set(rates)) < len(rates):
        raise ParameterError(f"target_rates: expected at least one rate, each once, got {rates}. Try [100, 200, 500].")
    return rates


def check_classes(classes: ArrayLike | None, n_images: int, n_labels: int) -> NDArray[np.int64] | None:
    """Check the true classes of images.

    Parameters
    ----------
    classes : array_like of int of shape (N,), or None
        What the user gave.
    n_images, n_labels : int
        Images, and labels of the model.

    Returns
    -------
    ndarray of int of shape (N,), or None

    Raises
    ------
    LabelError
        If it is not one index of a label for each image.
    """
    if classes is None:
        return None
    array = np.asarray(classes)
    if array.shape != (n_images,) or array.dtype.kind not in "iu":
        raise LabelError(
            f"classes: expected one whole number for each of {n_images} images, got {array.dtype} of shape "
            f"{array.shape}. Pass class indices, not one-hot vectors."
        )
    wrong = array[(array < 0) | (array >= n_labels)]
    if len(wrong):
        raise LabelError(
            f"classes: {wrong[0]} does not exist; expected indices from 0 to {n_labels - 1}, got {wrong[0]}. Count "
            "them in the order of the readout.",
            label=int(wrong[0]),
        )
    return array
