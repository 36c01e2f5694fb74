"""Images through a converted network: checked first, then run chunk of time by chunk, with a progress bar."""

import contextlib

import numpy as np
from tqdm.auto import tqdm

from ..checks.images import check_images
from ..checks.parameters import check_count, check_positive, check_seed
from ..conversion.convert import CAMNetwork
from ..exceptions import ModelTypeError, SimulatorError
from ..neurons import spike_height
from .backends import open_backend

__all__ = ["Run", "check_run", "whole_counts"]

_MOST_AT_A_TIME = 16

#: From here on neighboring numbers in double precision are more than 1 apart: nothing can be counted.
_MOST_COUNTED = 2.0**53


def check_run(network, *, n_steps, minibatch_size, dt, seed, name="network"):
    """Check what every run is given, before anything is built.

    Parameters
    ----------
    network : object
        Has to be a `CAMNetwork`.
    n_steps, minibatch_size, dt, seed : object
        Time steps, images at a time (or None), time step [s], and seed (or None).
    name : str
        What the network is called in messages.

    Raises
    ------
    ModelTypeError
        If ``network`` is not a `CAMNetwork`.
    ParameterError
        If ``n_steps`` or ``minibatch_size`` is not a whole number of at least 1, ``dt`` is not positive, or ``seed`` is
        not a seed.
    """
    if not isinstance(network, CAMNetwork):
        raise ModelTypeError(
            f"{name}: expected a CAMNetwork, got {type(network).__module__}.{type(network).__name__}. Convert the "
            "Keras model with nengo_cam.convert."
        )
    check_count("n_steps", n_steps)
    check_count("minibatch_size", minibatch_size, optional=True)
    check_positive("dt", dt, unit="seconds")
    check_seed(seed)


class Run:
    """A run of images through a network; a context in which its simulator is open.

    Parameters
    ----------
    network : CAMNetwork
        What to run.
    images : array_like of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        Images, or moving ones.
    n_steps : int
        Time steps.
    simulator : type or simulator
        As for `nengo_cam.spiking_cam`; a class if neurons are observed.
    minibatch_size : int or None
        Images that run at a time; None means at most 16.
    dt : float
        Time step [s].
    seed : int or None
        Seed, as for `nengo_cam.measurement.backends.open_backend`.
    progress_bar : bool
        Whether to show the progress.
    observe_neurons : bool
        Whether chunks hold the output of all layers that spike.
    chunk_steps : int, optional
        Steps in a chunk; chosen by the backend if not given.
    result_size : int
        Values that the caller keeps of each image and step, for the choice of ``chunk_steps``.
    name : str
        What the network is called in messages.

    Attributes
    ----------
    network, n_steps, dt
        As given.
    images : ndarray
        The images, checked.
    layers : dict of {str: nengo.Ensemble}
        The layers that are observed, in the order of ``Chunk.observed``.
    heights : list of float
        Output of their neurons for one spike.
    backend : Backend
        What runs it, in the context.

    Raises
    ------
    ModelTypeError, ImageError, ParameterError
        If an argument is wrong; see `check_run` and `nengo_cam.checks.images.check_images`.
    SimulatorError
        If neurons are to be observed in an open simulator; on entering the context, if the simulator cannot run the
        network.

    Warns
    -----
    InputRangeWarning
        If images lie far outside the range of the images that the network was calibrated on.
    """

    def __init__(
        self, network, images, *, n_steps, simulator, minibatch_size, dt, seed, progress_bar, observe_neurons=False,
        chunk_steps=None, result_size=0, name="network",
    ):  # fmt: skip
        check_run(network, n_steps=n_steps, minibatch_size=minibatch_size, dt=dt, seed=seed, name=name)
        check_count("chunk_steps", chunk_steps, optional=True)
        if observe_neurons and not isinstance(simulator, type):
            raise SimulatorError(
                f"simulator: an open one records only what it was built to record; expected a class, got {simulator!r}."
                " Pass its class, after sim.freeze_params(network.net) if it was trained."
            )
        self.network, self.n_steps, self.dt = network, n_steps, dt
        self.images = check_images(images, network.head.input_shape, n_steps=n_steps)
        network.warn_of_range(self.images, stacklevel=4)
        self.layers = network.spiking_layers if observe_neurons else {}
        self.heights = [spike_height(ensemble.neuron_type, dt) for ensemble in self.layers.values()]
        self.backend = None
        self._simulator = simulator
        self._minibatch_size = minibatch_size or min(len(self.images), _MOST_AT_A_TIME)
        self._seed = seed
        self._progress_bar = progress_bar
        self._chunk_steps = chunk_steps
        self._result_size = result_size
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            probes = stack.enter_context(self.network.probed_neurons()) if self.layers else {}
            self.backend = open_backend(
                self.network,
                self._simulator,
                minibatch_size=self._minibatch_size,
                dt=self.dt,
                seed=self._seed,
                observe=[probes[layer] for layer in self.layers],
            )
            stack.enter_context(self.backend)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info):
        return self._stack.__exit__(*exc_info)

    def chunks(self):
        """Run all images, minibatch after minibatch.

        Yields
        ------
        rows : slice
            Which images.
        chunk : Chunk
            What they did in some consecutive steps.
        """
        probed = sum(probe.size_in for probe in (self.network.features, *self.backend.observe))
        # What a step holds: the image, which is repeated for every step, what is probed, and what is made of it.
        step_size = self.network.input.size_out + probed + self._result_size
        step_bytes = 4 * self.backend.minibatch_size * step_size
        chunk_steps = self._chunk_steps or self.backend.choose_chunk_steps(self.n_steps, step_bytes)
        flat = self.frames.reshape(*self.frames.shape[:2], -1)
        total = len(flat) * self.n_steps
        with tqdm(total=total, unit="step", disable=not self._progress_bar) as progress:
            for rows, chunk in self.backend.run_all(flat, self.n_steps, chunk_steps):
                yield rows, chunk
                progress.update((rows.stop - rows.start) * (chunk.steps.stop - chunk.start))

    @property
    def frames(self):
        """The images (N, 1 or n_steps, Y, X, channels): still ones have one frame."""
        return self.images.reshape(len(self.images), -1, *self.network.head.input_shape)

    @property
    def provenance(self):
        """What belongs in the attributes of a result."""
        return {"simulator": self.backend.name, "dt": float(self.dt), "seed": self.backend.seed}


def whole_counts(values):
    """Make whole numbers of counts of spikes that were added up in floating point.

    Parameters
    ----------
    values : array_like of float
        Whole numbers, but for the rounding of what was added up.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    SimulatorError
        If there are more than can be counted.
    """
    values = np.asarray(values, float)
    # Not "values >= limit": NaN must fail. The conversion itself makes negative numbers of what is too large.
    if not (np.abs(values) < _MOST_COUNTED).all():
        raise SimulatorError(
            f"spikes: there are too many to be counted; expected fewer than {_MOST_COUNTED:.0e} in a step, got "
            f"{np.max(np.abs(values)):.0e}. Scale the images as the model was trained."
        )
    return np.rint(values).astype(np.int64)
