"""Images through a converted network: checked first, then run chunk of time by chunk, with a progress bar."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..checks.callers import user_stacklevel
from ..checks.parameters import RUN_MINIBATCH, check_count
from ..checks.sources import CheckedImages, Images
from ..conversion.network import CAMNetwork
from ..exceptions import SimulatorError, TimeStepWarning
from ..models.spiking_keras import time_step_of
from .arguments import check_run
from .backends import Chunk, open_backend
from .decoding import choose_layers, network_readout, spike_kinds

__all__ = ["Run"]


class Run:
    """A run of images through a network; a context in which its simulator is open.

    Parameters
    ----------
    net : CAMNetwork
        What to run.
    images : array_like or ImageSource of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels)
        Images, or moving ones.
    n_steps : int
        Time steps.
    simulator : type or simulator
        As for `nengo_cam.spiking_cam`; a class if layers are observed.
    minibatch_size : int or None
        Images that run at a time; None means at most `nengo_cam.checks.parameters.RUN_MINIBATCH`.
    dt : float
        Time step [s].
    seed : int or None
        Seed, as for `nengo_cam.measurement.backends.open_backend`.
    progress_bar : bool
        Whether to show the progress.
    observe : iterable of str
        Names of layers of neurons, spiking or not, whose output chunks hold.
    chunk_steps : int, optional
        Steps in a chunk; chosen by the backend if not given.
    name : str
        What the network is called in messages.
    stacklevel : int
        Which caller warnings are for, counted from the method that warns; the caller of the caller if not given.

    Attributes
    ----------
    net, n_steps, dt
        As given.
    images : CheckedImages
        The images.
    layers : dict of {str: nengo.Ensemble}
        The layers that are observed, in the order of the network.
    readout : str
        "mean" or "level"; see `nengo_cam.measurement.decoding.network_readout`.
    backend : Backend
        What runs it, in the context.

    Raises
    ------
    ModelTypeError, ImageError, ParameterError
        If an argument is wrong; see `nengo_cam.measurement.arguments.check_run`,
        `nengo_cam.checks.sources.CheckedImages` and `nengo_cam.measurement.decoding.choose_layers`.
    SimulatorError
        If layers are to be observed in an open simulator; on entering the context, if the simulator cannot run the
        network.

    Warns
    -----
    InputRangeWarning
        If images lie far outside the range of the images that the network was calibrated on.
    """

    def __init__(
        self,
        net: CAMNetwork,
        images: Images,
        *,
        n_steps: int,
        simulator: Any,
        minibatch_size: int | None,
        dt: float,
        seed: int | None,
        progress_bar: bool,
        observe: Iterable[str] = (),
        chunk_steps: int | None = None,
        name: str = "net",
        stacklevel: int = 4,
    ) -> None:
        check_run(net, n_steps=n_steps, minibatch_size=minibatch_size, dt=dt, seed=seed, name=name)
        check_count("chunk_steps", chunk_steps, optional=True)
        self.net, self.n_steps, self.dt = net, n_steps, dt
        self.layers = choose_layers(net, observe)
        self.readout = network_readout(net)
        if self.layers and not isinstance(simulator, type):
            raise SimulatorError(
                f"simulator: an open one records only what it was built to record; expected a class, got {simulator!r}."
                " Pass its class, after sim.freeze_params(net.net) if it was trained."
            )
        self.images = CheckedImages(net.shaped(images), net.head.input_shape, n_steps=n_steps)
        #: Of the images of a source: smallest and largest value seen so far, and in the first block.
        self._range: tuple[float, float] | None = None
        self._first_range: tuple[float, float] | None = None
        if self.images.array is not None:
            net.warn_of_range(self.images.array, stacklevel=stacklevel)
        self.backend: Any = None
        _warn_of_time_step(net, dt)
        self._simulator = simulator
        self._minibatch_size = minibatch_size or min(len(self.images), RUN_MINIBATCH)
        self._seed = seed
        self._progress_bar = progress_bar
        self._chunk_steps = chunk_steps
        self._block: tuple[slice | None, Any] = (None, None)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Run:
        with contextlib.ExitStack() as stack:
            probes = stack.enter_context(self.net.probed_neurons(self.layers))
            self.backend = open_backend(
                self.net,
                self._simulator,
                minibatch_size=self._minibatch_size,
                dt=self.dt,
                seed=self._seed,
                observe=probes,
                weights=stack.enter_context(self.net.probed_weights()),
            )
            stack.enter_context(self.backend)
            # From here on all went well: what was entered stays so until the run is left.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: Any) -> bool | None:
        return self._stack.__exit__(*exc_info)

    def chunks(self, result_size: int = 0) -> Iterator[tuple[slice, Chunk]]:
        """Run all images, minibatch after minibatch.

        Parameters
        ----------
        result_size : int
            Values that the caller makes of one step of one image, for the choice of the length of chunks.

        Yields
        ------
        rows : slice
            Which images.
        chunk : Chunk
            What they did in some consecutive steps.

        Raises
        ------
        ImageError
            If a source of images gives what the network cannot take.
        SimulatorError
            If activity leaves the range of numbers.
        """
        # Weights that learn are held as they were probed, in units of the map, and of the labels that are mapped.
        learned = 0 if self.backend.weights is None else 3 * self.net.features.size_in * self.net.head.n_labels
        probed_size = learned + sum(probe.size_in for probe in (self.net.features, *self.backend.observe.values()))
        # What a step holds: the image, which is repeated for every step, what is probed, and what is made of it.
        step_size = self.net.input.size_out + probed_size + result_size
        size = self.backend.minibatch_size
        chunk_steps = self._chunk_steps or self.backend.choose_chunk_steps(self.n_steps, 4 * size * step_size)
        total = len(self.images) * self.n_steps
        with tqdm(total=total, unit="step", disable=not self._progress_bar) as progress:
            # The backend's size, not the one asked for: an open simulator keeps its own, and Nengo's runs one image.
            for start in range(0, len(self.images), size):
                rows = slice(start, min(start + size, len(self.images)))
                frames = self.frames(rows)
                flat = frames.reshape(*frames.shape[:2], -1)
                for chunk in self.backend.run_rows(rows, flat, self.n_steps, chunk_steps):
                    yield rows, chunk
                    progress.update((rows.stop - rows.start) * (chunk.steps.stop - chunk.start))
        self._warn_of_source()

    def frames(self, rows: slice) -> NDArray[np.float32]:
        """Return images as the network sees them, checked.

        Parameters
        ----------
        rows : slice
            Which images; those that a chunk is of are not read again.

        Returns
        -------
        ndarray of float32 of shape (rows, 1 or n_steps, Y, X, channels)
            Still images have one frame.

        Raises
        ------
        ImageError
            If a source of images gives what the network cannot take.
        """
        known, frames = self._block
        if known != rows:
            block = self.images.read(rows)
            if self.images.array is None:
                self._look_at_range(block)
            frames = block.reshape(len(block), -1, *self.net.head.input_shape)
            self._block = (rows, frames)
        return frames

    def _look_at_range(self, block: NDArray[np.float32]) -> None:
        """Warn of the first block of a source before it runs, as images in a wrong range rarely come late."""
        low, high = float(block.min()), float(block.max())
        if self._range is None:
            self.net.warn_of_range(block, stacklevel=user_stacklevel() + 1)
            self._range = self._first_range = (low, high)
        self._range = (min(low, self._range[0]), max(high, self._range[1]))

    def _warn_of_source(self) -> None:
        """Warn of what came later, if that is another range and not the same one seen more closely."""
        if self._range is None or self._first_range is None:
            return
        (low, high), (first_low, first_high) = self._range, self._first_range
        width = first_high - first_low
        if low < first_low - width or high > first_high + width:
            self.net.warn_of_range(np.array(self._range), stacklevel=user_stacklevel() + 1)

    @property
    def provenance(self) -> dict[str, Any]:
        """What belongs in the attributes of a result."""
        return {
            "simulator": self.backend.name,
            "dt": float(self.dt),
            "seed": self.backend.seed,
            "readout": self.readout,
            "spike_kind": spike_kinds(self.net),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The same, and how the network was made."""
        net = self.net
        return {
            **self.provenance,
            "n_steps": int(self.n_steps),
            "synapse": str(net.synapse),
            "neurons": ", ".join(sorted({str(e.neuron_type) for e in net.net.all_ensembles})),
            **({"chosen": net.choice} if net.choice else {}),
            **({"weights": "learned online, those of each step"} if net.learns else {}),
            "firing_rate_scales": json.dumps(net.firing_rate_scales),
        }


def _warn_of_time_step(net: CAMNetwork, dt: float) -> None:
    """Say that layers of KerasSpiking were made for other steps: their spikes and filters would be others there."""
    own = time_step_of(net.reduced.model) if net.has_cnn else None
    if own is not None and not np.isclose(own, dt, rtol=1e-6, atol=0):
        warnings.warn(
            f"network of {net.model.name!r}: its spikes and filters were made for steps of {own:g} s, and it runs in "
            f"steps of {dt:g} s, as no model of KerasSpiking would. Pass dt={own:g}.",
            TimeStepWarning,
            stacklevel=user_stacklevel(),
        )
