"""Run a converted network on any of Nengo's simulators, one chunk of time after the other."""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

import nengo
import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..conversion.network import CAMNetwork
from ..exceptions import ParameterError, SimulatorError
from ..simulator import Simulator
from .decoding import distinct_steps

__all__ = [
    "AllStepsBackend",
    "Backend",
    "Chunk",
    "NengoBackend",
    "NengoDLBackend",
    "open_backend",
    "register_backend",
]

_BACKENDS: dict[Callable[[], type], type[Backend]] = {}

#: A chunk of NengoDL's or Nengo's takes up to this many bytes; probes and copies take some times more.
_CHUNK_BYTES = 16 * 2**20


def register_backend(simulator_class: Callable[[], type]) -> Callable[[type[Backend]], type[Backend]]:
    """Register a `Backend` for a simulator class and its subclasses.

    Parameters
    ----------
    simulator_class : callable
        Gives the class; called when a backend is looked up, so that the simulator's package need not be imported.

    Returns
    -------
    callable
        Class decorator.
    """

    def decorate(backend: type[Backend]) -> type[Backend]:
        _BACKENDS[simulator_class] = backend
        return backend

    return decorate


class Chunk:
    """What a network did in some consecutive time steps.

    Parameters
    ----------
    start : int
        Index of the first step.
    features : ndarray of shape (N, steps, Y * X * K)
        Activity that is pooled.
    logits : ndarray of shape (N, steps, L)
        Output.
    observed : dict of {str: ndarray of shape (N, steps, neurons)}
        Output of the layers that were asked for, by name.
    settled : bool
        Whether all its steps are copies of the last one of the chunk before: nothing was sent in them. They may come
        as one step that is repeated without memory; see `nengo_cam.measurement.decoding.distinct_steps`.
    kernel : ndarray of shape (N, steps, Y, X, K, L), or None
        The readout's weights at each step, if a learning rule changes them; else `Backend.readout_parameters` has them.
    """

    def __init__(
        self,
        start: int,
        features: NDArray[np.floating],
        logits: NDArray[np.floating],
        observed: dict[str, NDArray[np.floating]],
        settled: bool = False,
        kernel: NDArray[np.floating] | None = None,
    ) -> None:
        self.start = start
        self.features = features
        self.logits = logits
        self.observed = observed
        self.settled = settled
        self.kernel = kernel

    @property
    def steps(self) -> slice:
        """The steps as a slice."""
        return slice(self.start, self.start + self.logits.shape[1])

    def of_images(self, n_images: int) -> Chunk:
        """Return the same of the first images."""
        first = slice(n_images)
        observed = {name: output[first] for name, output in self.observed.items()}
        kernel = None if self.kernel is None else self.kernel[first]
        return Chunk(self.start, self.features[first], self.logits[first], observed, self.settled, kernel)


class Backend(abc.ABC):
    """A simulator of one converted network, made when the context is entered and closed when it is left.

    Parameters
    ----------
    net : CAMNetwork
        What to run.
    simulator : type or simulator
        A class, to be made with the other arguments; or an open simulator of ``net.net``, which keeps its own
        settings and weights and is left open, its state reset.
    minibatch_size : int
        Images that run at a time.
    dt : float
        Time step [s].
    seed : int
        Seed of the network and the simulator.
    observe : dict of {str: nengo.Probe}
        Probes whose data chunks hold besides, by name; the simulator has to be made while the network has them.
    weights : nengo.Probe, optional
        That of the readout's weights, if they change; see `nengo_cam.CAMNetwork.probed_weights`.
    """

    #: Name in the provenance of results.
    name: str

    def __init__(
        self,
        net: CAMNetwork,
        simulator: Any,
        *,
        minibatch_size: int,
        dt: float,
        seed: int,
        observe: Mapping[str, nengo.Probe] | None = None,
        weights: nengo.Probe | None = None,
    ) -> None:
        self.net = net
        self.observe = dict(observe or {})
        self.weights = weights
        self._simulator = simulator
        self._own = isinstance(simulator, type)
        # An open simulator cannot change the size of its minibatches.
        self.minibatch_size = minibatch_size if self._own else simulator.minibatch_size or 1
        self.dt = dt
        self.seed = seed
        self.sim: Any = None

    def __enter__(self) -> Backend:
        self.sim = self._build() if self._own else self._simulator
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._own:
            self.sim.close()
        else:
            self._reset()

    def readout_parameters(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return kernel (K, L) and bias (L,) of the readout as the simulator has them now."""
        return self.net.readout_parameters(self.sim)

    def choose_chunk_steps(self, n_steps: int, step_bytes: int) -> int | None:
        """Choose how many steps run at a time.

        Parameters
        ----------
        n_steps : int
            Number of steps in all.
        step_bytes : int
            What a step of a minibatch holds [bytes]: images, features and maps.

        Returns
        -------
        int or None
            Steps in a chunk, for `run`; None leaves the choice to the simulator.
        """
        at_most = max(1, _CHUNK_BYTES // step_bytes)
        # As equal as can be: simulators compile for each length anew.
        return math.ceil(n_steps / math.ceil(n_steps / at_most))

    def _build(self) -> Any:
        """Make the simulator."""
        with compat.without_gpu_advice(), compat.without_decoder_cache(), _seeded(self.net.net, self.seed):
            return self._simulator(
                self.net.net,
                dt=self.dt,
                seed=self.seed,
                minibatch_size=self.minibatch_size,
                progress_bar=False,
            )

    def _chunk(self, start: int, values: Mapping[nengo.Probe, NDArray[np.floating]], *, settled: bool = False) -> Chunk:
        """Make a chunk from what the probes saw, by probe."""
        observed = {name: values[probe] for name, probe in self.observe.items()}
        kernel = None if self.weights is None else self.net.kernels(self.sim, values[self.weights])
        return Chunk(start, values[self.net.features], values[self.net.logits], observed, settled, kernel)

    def run_rows(
        self, rows: slice, images: NDArray[np.float32], n_steps: int, chunk_steps: int | None
    ) -> Iterator[Chunk]:
        """Run some images, at most a minibatch of them.

        Parameters
        ----------
        rows : slice
            Which images they are, for messages.
        images : ndarray of shape (rows, 1 or n_steps, size)
            Flattened images, as for `run`.
        n_steps, chunk_steps
            As for `run`.

        Yields
        ------
        Chunk
            What these images did, and nobody else.

        Raises
        ------
        SimulatorError
            If the simulator is set up so that it cannot run in chunks of time, or if activity is beyond the range of
            the numbers that it counts with.
        """
        # NengoDL takes whole minibatches only.
        padding = np.repeat(images[-1:], self.minibatch_size - len(images), axis=0)
        for chunk in self._finite(self.run(np.concatenate([images, padding]), n_steps, chunk_steps), rows):
            yield chunk.of_images(len(images))

    def _finite(self, chunks: Iterable[Chunk], rows: slice) -> Iterator[Chunk]:
        """Pass chunks on as long as they hold numbers: what overflows is nowhere near what it stands for."""
        try:
            for chunk in chunks:
                # Of copies the original was looked at.
                arrays = () if chunk.settled else (chunk.features, chunk.logits, *chunk.observed.values())
                if not all(np.isfinite(distinct_steps(array)).all() for array in arrays):
                    # Caught below, as NumPy's own is.
                    raise FloatingPointError(f"in steps {chunk.start + 1} to {chunk.steps.stop}")
                yield chunk
        except (FloatingPointError, ValueError) as err:
            # NumPy's generator refuses to draw so many spikes.
            if isinstance(err, ValueError) and "lam value too large" not in str(err):
                raise
            raise SimulatorError(
                f"{self.name}: the activity for images {rows.start} to {rows.stop - 1} is beyond the range of numbers; "
                f"expected finite values, got NaN or infinity ({err}). Scale the images as the model was trained."
            ) from err

    @abc.abstractmethod
    def _reset(self) -> None:
        """Put the simulator's state back to the start, its weights and the user's probes left as they are."""

    @abc.abstractmethod
    def run(self, images: NDArray[np.float32], n_steps: int, chunk_steps: int | None) -> Iterator[Chunk]:
        """Run images from the initial state and yield `Chunk` after `Chunk`.

        Parameters
        ----------
        images : ndarray of shape (minibatch_size, 1 or n_steps, size)
            Flattened images; with one frame they stand still.
        n_steps : int
            Number of steps.
        chunk_steps : int or None
            Steps in a chunk; the last one may be shorter. None only if `choose_chunk_steps` gave it.

        Yields
        ------
        Chunk
            One chunk after another, up to ``n_steps``.

        Raises
        ------
        SimulatorError
            If the simulator is set up so that it cannot run in chunks of time.
        """


@contextlib.contextmanager
def _seeded(net: nengo.Network, seed: int) -> Iterator[None]:
    """Build with the seed as the network's own: initial voltages are drawn from it."""
    before, net.seed = net.seed, seed
    try:
        yield
    finally:
        net.seed = before


@register_backend(lambda: Simulator)
class AllStepsBackend(Backend):
    """`nengo_cam.Simulator`: a minibatch at a time, all steps of a chunk at once."""

    name = "nengo_cam.Simulator"

    def choose_chunk_steps(self, n_steps: int, step_bytes: int) -> int | None:
        """Leave the choice to the simulator, which knows what its operators hold; see the base class."""

    def _reset(self) -> None:
        self.sim.reset(include_probes=False)

    def run(self, images: NDArray[np.float32], n_steps: int, chunk_steps: int | None) -> Iterator[Chunk]:
        self._reset()
        start = 0
        for values in self.sim.iter_steps(n_steps, {self.net.input: images}, chunk_steps):
            chunk = self._chunk(start, values, settled=self.sim.has_settled)
            yield chunk
            start = chunk.steps.stop


@register_backend(lambda: compat.import_nengo_dl().Simulator)
class NengoDLBackend(Backend):
    """`nengo_dl.Simulator`: a minibatch at a time, in TensorFlow."""

    name = "nengo_dl.Simulator"

    def __enter__(self) -> NengoDLBackend:
        super().__enter__()
        learning = any(connection.learning_rule_type for connection in self.net.net.all_connections)
        self._learned = {
            key: variable.numpy() for key, variable in self.sim.tensor_graph.base_params.items() if learning
        }
        return self

    def _reset(self) -> None:
        self.sim.reset(include_trainable=False, include_probes=False)
        # NengoDL counts what is learned online among what is trained, and leaves both. Each image begins with the
        # weights that the simulator had when it was given to us, trained ones included.
        for key, value in self._learned.items():
            self.sim.tensor_graph.base_params[key].assign(value)

    def run(self, images: NDArray[np.float32], n_steps: int, chunk_steps: Any) -> Iterator[Chunk]:
        if not self.sim.stateful:
            raise SimulatorError(
                "nengo_dl.Simulator: the network is set to stateful=False, so that every chunk of time would begin "
                "at the start; expected True, got False. Leave the setting out."
            )
        if n_steps % self.sim.unroll or (n_steps > chunk_steps and chunk_steps % self.sim.unroll):
            raise SimulatorError(
                f"nengo_dl.Simulator: it runs {self.sim.unroll} steps at a time; expected n_steps and chunk_steps to "
                f"be multiples of that, got {n_steps} and {chunk_steps}. Choose other numbers, or unroll_simulation=1."
            )
        self._reset()
        for start in range(0, n_steps, chunk_steps):
            stop = min(start + chunk_steps, n_steps)
            # It takes a frame for every step; a still image is repeated for one chunk only.
            frames = images[:, start:stop] if images.shape[1] > 1 else np.repeat(images, stop - start, axis=1)
            values = self.sim.predict_on_batch({self.net.input: frames}, stateful=True)
            chunk = self._chunk(start, values)
            if not chunk.features.shape[1] == chunk.logits.shape[1] == stop - start:
                raise SimulatorError(
                    f"nengo_dl.Simulator: the probes kept {chunk.logits.shape[1]} of {stop - start} steps because the "
                    "network is set to keep_history=False; expected all of them. Leave the setting out."
                )
            yield chunk


@register_backend(lambda: nengo.Simulator)
class NengoBackend(Backend):
    """`nengo.Simulator`, the reference: one image after the other, in NumPy and double precision."""

    name = "nengo.Simulator"

    def __init__(
        self,
        net: CAMNetwork,
        simulator: Any,
        *,
        minibatch_size: int,
        dt: float,
        seed: int,
        observe: Mapping[str, nengo.Probe] | None = None,
        weights: nengo.Probe | None = None,
    ) -> None:
        if net.tensor_nodes:
            raise SimulatorError(
                f"nengo.Simulator: it cannot run TensorFlow layers; expected native Nengo objects only, got the "
                f"TensorNodes {list(net.tensor_nodes)}. Use nengo_dl.Simulator."
            )
        if not isinstance(simulator, type):
            raise SimulatorError(
                "nengo.Simulator: an open simulator cannot be fed with new images; expected the class, got an "
                "instance. Call its network's freeze_params and pass simulator=nengo.Simulator."
            )
        # The reference runs one item, whatever was asked for.
        super().__init__(net, simulator, minibatch_size=1, dt=dt, seed=seed, observe=observe, weights=weights)
        self._frames = np.zeros((1, net.input.size_out))

    def _build(self) -> Any:
        node, blank = self.net.input, self.net.input.output
        # The simulator keeps the function that it was built with; the node gets its own output back.
        node.output = self._current_frame
        try:
            with compat.without_decoder_cache(), _seeded(self.net.net, self.seed):
                return self._simulator(self.net.net, dt=self.dt, seed=self.seed, progress_bar=False)
        except NotImplementedError as err:
            # Convolutions in three dimensions.
            raise SimulatorError(
                f"nengo.Simulator: it cannot run this network; expected what it has operators for, got: {err}. Use "
                "nengo_cam.Simulator or nengo_dl.Simulator."
            ) from err
        finally:
            node.output = blank

    def _current_frame(self, t: float) -> NDArray[np.floating]:
        step = round(t / self.dt) - 1
        return self._frames[min(max(step, 0), len(self._frames) - 1)]

    def _reset(self) -> None:
        self.sim.reset()

    def run(self, images: NDArray[np.float32], n_steps: int, chunk_steps: Any) -> Iterator[Chunk]:
        self._frames = np.asarray(images[0], dtype=float)
        self._reset()
        for start in range(0, n_steps, chunk_steps):
            self.sim.run_steps(min(chunk_steps, n_steps - start), progress_bar=False)
            learned = () if self.weights is None else (self.weights,)
            probes = (self.net.features, self.net.logits, *self.observe.values(), *learned)
            values = {probe: self.sim.data[probe][None] for probe in probes}
            # Otherwise probes would keep all steps of the run.
            self.sim.clear_probes()
            yield self._chunk(start, values)


def open_backend(
    net: CAMNetwork,
    simulator: Any,
    *,
    minibatch_size: int,
    dt: float,
    seed: int | None,
    observe: Mapping[str, nengo.Probe] | None = None,
    weights: nengo.Probe | None = None,
) -> Backend:
    """Choose the backend for a simulator.

    Parameters
    ----------
    net : CAMNetwork
        What to run.
    simulator : type or simulator
        A simulator class, or an open `nengo_dl.Simulator` of ``net.net``.
    minibatch_size : int
        Images that run at a time.
    dt : float
        Time step [s]; an open simulator has to have the same.
    seed : int or None
        Seed. None means the network's own if it has one, else a random one; an open simulator keeps its own.
    observe : dict of {str: nengo.Probe}
        Further probes of the network by name, whose data chunks hold. See `nengo_cam.CAMNetwork.probed_neurons`.
    weights : nengo.Probe, optional
        That of the readout's weights, if they change while it runs. See `nengo_cam.CAMNetwork.probed_weights`.

    Returns
    -------
    Backend
        To be entered as a context.

    Raises
    ------
    SimulatorError
        If there is no backend for ``simulator``, or it is closed, or simulates another network, or cannot run this
        one.
    ParameterError
        If ``dt`` or ``seed`` contradict an open simulator, or it has not the probes to observe, or of the weights.
    """
    is_class = isinstance(simulator, type)
    classes = {lookup(): backend for lookup, backend in _BACKENDS.items()}
    for cls in simulator.__mro__ if is_class else type(simulator).__mro__:
        if cls in classes:
            break
    else:
        names = sorted(backend.name for backend in classes.values())
        raise SimulatorError(
            f"simulator: expected a simulator class or an open simulator of {names}, got {simulator!r}. Pass one."
        )
    if not is_class:
        learned = {} if weights is None else {"weights": weights}
        _check_open_simulator(net, simulator, dt, seed, {**(observe or {}), **learned})
        seed = simulator.seed
    elif seed is None:
        seed = net.net.seed
    if seed is None:
        seed = np.random.default_rng().integers(np.iinfo(np.int32).max)
    return classes[cls](
        net, simulator, minibatch_size=minibatch_size, dt=float(dt), seed=int(seed), observe=observe, weights=weights
    )


def _check_open_simulator(
    net: CAMNetwork, simulator: Any, dt: float, seed: int | None, observe: Mapping[str, nengo.Probe]
) -> None:
    if getattr(simulator, "closed", False):
        raise SimulatorError("simulator: expected an open simulator, got a closed one. Call inside its `with` block.")
    if simulator.model.toplevel is not net.net:
        raise SimulatorError(
            f"simulator: it simulates {simulator.model.toplevel!r}; expected the network of this CAMNetwork, got "
            "another one. Build it with net.net."
        )
    for name, given, own in (("dt", dt, simulator.dt), ("seed", seed, simulator.seed)):
        if given is not None and given != own:
            raise ParameterError(
                f"{name}: an open simulator keeps its own; expected {own!r}, got {given!r}. Pass {name}={own!r}."
            )
    if not set(observe.values()) <= set(simulator.model.probes):
        raise ParameterError(
            "observe: an open simulator records only what it was built to record; expected its probes, got others. "
            "Pass the simulator's class."
        )
