"""Networks as callables from images to scores: the CNN, and the spiking network that decides at a given time."""

from __future__ import annotations

from typing import Any, Callable

import nengo
import numpy as np
from numpy.typing import NDArray

from ..checks.parameters import CNN_MINIBATCH, check_count
from ..checks.sources import CheckedImages, Images
from ..conversion.convert import as_synapse
from ..conversion.network import CAMNetwork
from ..models.outputs import apply_activation
from ..models.simplify import reduce_model, reduced_logits
from ..simulator import Simulator
from .arguments import check_run
from .backends import Chunk
from .decoding import network_readout
from .recorder import Recorder, record
from .run import Run

__all__ = ["LogitsRecorder", "rate_predict", "spiking_predict"]


def rate_predict(
    net_or_model: Any, *, probabilities: bool = True, minibatch_size: int = CNN_MINIBATCH
) -> Callable[[Images], NDArray[np.floating]]:
    """Make a callable that gives the scores of the CNN.

    Parameters
    ----------
    net_or_model : CAMNetwork or tf.keras.Model
        A converted network, for the Keras model that it came from, as that was at conversion; or such a model.
    probabilities : bool
        Whether to apply the model's own softmax or sigmoid; a model without one gives logits all the same.
    minibatch_size : int
        Images that run at a time.

    Returns
    -------
    callable
        From images (N, Y, X, channels), an array or a source, to scores (N, L).

    Raises
    ------
    ModelTypeError, HeadError
        If it is not a Keras model with a GAP head.
    MissingCNNError
        If it is a network that was built by hand.
    UnsupportedModelError
        If it holds something that cannot be rewritten.
    ImageError
        If images do not fit the model; raised when the callable is called.
    ParameterError
        If ``minibatch_size`` is not a whole number of at least 1.

    Examples
    --------
    >>> predict = ncam.rate_predict(model)
    >>> bool(np.allclose(predict(images), model.predict(images, verbose=0), atol=1e-5))
    True
    """
    check_count("minibatch_size", minibatch_size)
    if isinstance(net_or_model, CAMNetwork):
        net_or_model.require_cnn("rate_predict")
        model, head = net_or_model.reduced.model, net_or_model.head
    else:
        reduced = reduce_model(net_or_model)
        model, head = reduced.model, reduced.head

    def predict(images: Images) -> NDArray[np.floating]:
        checked = CheckedImages(images, head.input_shape)
        batches = [reduced_logits(model, frames, minibatch_size) for _, frames in checked.frames(minibatch_size)]
        leading = checked.shape[: 2 if checked.moving else 1]
        logits = np.concatenate(batches).reshape((*leading, -1)).astype(float)
        return apply_activation(head.activation, logits) if probabilities else logits

    return predict


def spiking_predict(
    net: CAMNetwork,
    *,
    n_steps: int,
    synapse: nengo.synapses.Synapse | float | None = None,
    probabilities: bool = True,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
) -> Callable[[Images], NDArray[np.floating]]:
    """Make a callable that runs a converted network and gives its scores at a given time.

    Parameters
    ----------
    net : CAMNetwork
        Made by `nengo_cam.convert`.
    n_steps : int
        Time steps after which the network decides.
    synapse : nengo.synapses.Synapse, float or None
        Filter on the logits, whose value at the last step counts; a float is the time constant of a lowpass [s]. None
        takes the mean over all steps, or where levels are held (``attrs["readout"]`` of `nengo_cam.spiking_cam`) the
        last step.
    probabilities : bool
        Whether to apply the model's own softmax or sigmoid to the logits; a model without one gives logits all the
        same.
    simulator, minibatch_size, dt, seed
        As for `nengo_cam.spiking_cam`. Without a seed every call draws another one.

    Returns
    -------
    callable
        From images (N, Y, X, channels) to scores (N, L).

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    ImageError
        If images do not fit the network; raised when the callable is called.
    ParameterError
        If an argument is out of its range.
    SimulatorError
        If ``simulator`` is unknown or cannot run the network, or if activity is beyond the range of numbers; raised
        when the callable is called.

    Examples
    --------
    >>> predict = ncam.spiking_predict(net, n_steps=40, seed=0)
    >>> predict(images).argmax(axis=1).tolist() == classes.tolist()
    True
    """
    check_run(net, n_steps=n_steps, minibatch_size=minibatch_size, dt=dt, seed=seed)
    smoothing: Any = as_synapse(synapse)

    def predict(images: Images) -> NDArray[np.floating]:
        (logits,) = record(
            net, images, [LogitsRecorder()], n_steps=n_steps, simulator=simulator, minibatch_size=minibatch_size,
            dt=dt, seed=seed, progress_bar=False,
        )  # fmt: skip
        if smoothing is not None:
            # From zero, as Nengo's own filters start; by default it would start from the first logits.
            logits = smoothing.filt(logits, dt=dt, axis=1, y0=0)[:, -1]
        else:
            logits = logits[:, -1] if network_readout(net) == "level" else logits.mean(axis=1)
        return apply_activation(net.head.activation, logits) if probabilities else logits

    return predict


class LogitsRecorder(Recorder):
    """Keeps the logits of every step."""

    def begin(self, run: Run) -> None:
        """Forget the last run; see `Recorder.begin`."""
        # In double precision, in which synapses filter.
        self._logits = np.empty((len(run.images), run.n_steps, run.net.head.n_labels))

    def add(self, rows: slice, chunk: Chunk) -> None:
        """Record a chunk; see `Recorder.add`."""
        self._logits[rows, chunk.steps] = chunk.logits

    def result(self) -> NDArray[np.float64]:
        """Return the logits (N, n_steps, L)."""
        return self._logits
