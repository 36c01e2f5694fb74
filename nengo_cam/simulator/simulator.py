"""`Simulator`: a Nengo backend that runs each operator once for many time steps and images."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from nengo.exceptions import ReadonlyError, SimulatorClosed, ValidationError
from tqdm.auto import tqdm

from ..checks.parameters import check_count, check_positive
from ..exceptions import ParameterError
from .context import StepRange
from .cycles import check_learning
from .data import SimulationData, check_feed
from .engine import Engine
from .plan import Plan
from .reference_builder import build_model
from .signals import signal_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import nengo
    from nengo.builder import Model
    from numpy.typing import ArrayLike

__all__ = ["Simulator"]

#: Signals of a chunk take up to this many bytes. Larger chunks save little, and leave the processor's cache.
_MEMORY_BUDGET = 32 * 2**20

#: Where steps are so large that they leave it anyway, a few of them together spare moving the neurons' state at each,
#: if they take up to this many bytes.
_FEW_STEPS = 4
_LARGEST_BUDGET = 512 * 2**20

#: A network that may come to rest runs in chunks of at most this part of the steps before them: so much is computed in
#: vain at most.
_OVERSHOOT = 4


class Simulator:
    """Runs feed-forward Nengo networks, each operator once per chunk of time for all its steps and all images.

    A converted CNN has no feedback: what a layer does at all time steps depends on what the layer before it does, and
    on nothing else. So time need not be the outer loop. Here it is the inner one: a convolution runs once for all
    frames of a chunk, and neurons and synapses, which do have a memory, are scanned over time element by element. The
    network is built by Nengo's own builder, so parameters, seeds and initial states are those of `nengo.Simulator`.

    Input that stands still is computed once: biases, gains, and a static image as far as the first neurons. Where no
    neuron would change any more, as `nengo_cam.SigmaDelta` neurons with a static image after a few steps, neither would
    anything else: the last step stands for all that follow.

    Parameters
    ----------
    network : nengo.Network
        What to run: any network without cycles and learning rules.
    dt : float
        Time step [s].
    seed : int, optional
        Seed of processes that have none of their own. Default: ``network.seed + 1``, or else a random one.
    minibatch_size : int, optional
        Number of items that run at a time. None means one, and no axis for items in `data`.
    dtype : str
        ``"float32"``, for speed, or ``"float64"``, in which spikes are the reference's and results do not depend, bit
        by bit, on the length of chunks, the size of minibatches and the split into calls.
    progress_bar : bool
        Whether to show the progress of long runs.
    memory_budget : int, optional
        Bytes that the signals of a chunk may take; the length of chunks follows from it. One step always runs. Recorded
        data comes on top. Default: 32 MiB, or what four steps take, up to 512 MiB.
    model : nengo.builder.Model, optional
        A model to build the network into, or one that is built, with ``network=None``.

    Attributes
    ----------
    data : SimulationData
        Recorded data by probe, and built parameters by object.
    model : nengo.builder.Model
        The built network.
    skips_settled_steps : bool
        Whether steps that would be copies of the last one are copied (the default) or computed. It does not change the
        result.

    Raises
    ------
    SimulatorError
        If the network has a cycle, a learning rule, or an operator that no rule covers.
    ParameterError
        If an argument is out of its range.

    Notes
    -----
    Random numbers. Stochastic neurons draw from the stream that the reference draws from, and every item of a
    minibatch has its own copy of it. An item's spikes do not depend on its place in the minibatch, and are those of
    `nengo.Simulator`; the price is that the noise is the same for all items. A process without input is the same
    for all items too.

    Functions of nodes are called in the order of time, but a node runs a whole chunk before the next node does.

    Examples
    --------
    >>> data = {net.input: np.repeat(images.reshape(4, 1, -1), 20, axis=1)}
    >>> with ncam.Simulator(net.net, minibatch_size=4, seed=0, progress_bar=False) as sim:
    ...     sim.run_steps(20, data=data)
    ...     sim.data[net.logits].shape
    (4, 20, 10)
    """

    def __init__(
        self,
        network: nengo.Network | None,
        dt: float = 0.001,
        seed: int | None = None,
        minibatch_size: int | None = None,
        dtype: Literal["float32", "float64"] = "float32",
        progress_bar: bool = True,
        memory_budget: int | None = None,
        model: Model | None = None,
    ):
        self.closed = True
        check_positive("dt", dt, unit="seconds")
        check_count("minibatch_size", minibatch_size, optional=True)
        check_count("memory_budget", memory_budget, optional=True)
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ParameterError(f"dtype: expected 'float32' or 'float64', got {dtype!r}. Try dtype='float32'.")
        self.minibatch_size = minibatch_size
        self.dtype = np.dtype(dtype)
        self.progress_bar = progress_bar
        self.memory_budget = memory_budget
        self.skips_settled_steps = True
        if network is not None:
            check_learning(network)
        self.model = build_model(network, dt, self.dtype, model)
        # None once it is closed.
        self._engine: Any = Engine(Plan(self.model, self.dtype, minibatch_size or 1))
        self.data = SimulationData(self.model.params, self.model.probes, squeeze=minibatch_size is None)
        if seed is None:
            # As `nengo.Simulator` has it, so that processes draw the same.
            seed = getattr(network, "seed", None)
            seed = np.random.default_rng().integers(np.iinfo(np.int32).max) if seed is None else seed + 1
        self.closed = False
        self.reset(seed=seed)

    def __enter__(self) -> Simulator:
        self._check_open("entered")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "closed", True):
            warnings.warn(
                f"Simulator with model={self.model} was deallocated while open. Close it, or use a `with` block.",
                ResourceWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        """Free what running needs. Recorded data stays readable."""
        self.closed = True
        self._engine = None

    @property
    def dt(self) -> float:
        """Time step [s]."""
        return self.model.dt

    @dt.setter
    def dt(self, value: float) -> float:
        raise ReadonlyError(attr="dt", obj=self)

    @property
    def n_steps(self) -> int:
        """Number of steps run since the start or the last reset."""
        return self._n_steps

    @property
    def time(self) -> float:
        """Simulated time [s]."""
        return self._n_steps * self.dt

    @property
    def has_settled(self) -> bool:
        """Whether the last steps that ran were copied from the one before them; see ``skips_settled_steps``."""
        return self._has_settled

    def reset(self, seed: int | None = None, *, include_probes: bool = True) -> None:
        """Go back to the initial state, and forget recorded data.

        Parameters
        ----------
        seed : int, optional
            A new seed for processes that have none of their own.
        include_probes : bool
            Whether to forget recorded data; False keeps it, as in `nengo_dl.Simulator`.

        Raises
        ------
        nengo.exceptions.SimulatorClosed
            If the simulator is closed.
        """
        self._check_open("reset")
        if seed is not None:
            self.seed = int(seed)
        self._n_steps = 0
        self._has_settled = False
        self._engine.reset(self.seed)
        if include_probes:
            self.clear_probes()

    def clear_probes(self) -> None:
        """Forget recorded data, and go on from the present state."""
        self.data.clear()

    def trange(self, dt: float | None = None, sample_every: float | None = None) -> np.ndarray:
        """Return the times of recorded data.

        Parameters
        ----------
        dt : float, optional
            An old name of ``sample_every``.
        sample_every : float, optional
            Sampling period of the probe [s].

        Returns
        -------
        ndarray of shape (steps,)
            Times [s]; the first is ``dt``.
        """
        if dt is not None:
            if sample_every is not None:
                raise ValidationError("Cannot specify both `dt` and `sample_every`. Use `sample_every`.", attr="dt")
            warnings.warn("`dt` is deprecated. Use `sample_every` instead.", DeprecationWarning, stacklevel=2)
            sample_every = dt
        steps = np.arange(1, self.n_steps + 1)
        return self.dt * steps[self._sampled(steps, sample_every)]

    def run(
        self,
        time_in_seconds: float,
        data: Mapping[nengo.Node, ArrayLike] | None = None,
        progress_bar: bool | None = None,
    ) -> None:
        """Run for some time, rounded to whole steps, and record; see `run_steps`.

        Parameters
        ----------
        time_in_seconds : float
            Time [s].
        data, progress_bar
            As for `run_steps`.

        Raises
        ------
        ParameterError
            If ``data`` does not fit.
        nengo.exceptions.ValidationError
            If the time is negative.
        nengo.exceptions.SimulatorClosed
            If the simulator is closed.

        Warns
        -----
        UserWarning
            If the time is less than half a step.
        """
        if time_in_seconds < 0:
            raise ValidationError(f"Must be positive (got {time_in_seconds:g})", attr="time_in_seconds")
        n_steps = int(np.round(float(time_in_seconds) / self.dt))
        if n_steps == 0:
            warnings.warn(
                f"{time_in_seconds} results in running for 0 timesteps. Simulator still at time {self.time}.",
                stacklevel=2,
            )
        else:
            self.run_steps(n_steps, data=data, progress_bar=progress_bar)

    def step(self, data: Mapping[nengo.Node, ArrayLike] | None = None) -> None:
        """Run one step and record."""
        self.run_steps(1, data=data, progress_bar=False)

    def run_steps(
        self, n_steps: int, data: Mapping[nengo.Node, ArrayLike] | None = None, progress_bar: bool | None = None
    ) -> None:
        """Run and record.

        Parameters
        ----------
        n_steps : int
            Number of time steps.
        data : dict of {nengo.Node: array_like of shape (batch, n_steps or 1, size)}, optional
            Output of nodes without input, instead of their own. With one step it is held for all steps.
        progress_bar : bool, optional
            Whether to show the progress; default as the simulator was told.

        Raises
        ------
        ParameterError
            If ``n_steps`` is not a whole number of at least 1, or ``data`` does not fit.
        nengo.exceptions.SimulatorClosed
            If the simulator is closed.
        """
        self._check_run(n_steps)
        fed = check_feed(data, self.model, n_steps, self.minibatch_size, self.dtype)
        show = self.progress_bar if progress_bar is None else progress_bar
        steps = np.arange(self._n_steps + 1, self._n_steps + n_steps + 1)
        recorded, filled = {}, dict.fromkeys(self.model.probes, 0)
        copies: dict[nengo.Probe, list] = {probe: [] for probe in self.model.probes}
        for probe in self.model.probes:
            size = np.count_nonzero(self._sampled(steps, probe.sample_every))
            shape = (self.minibatch_size or 1, size, *self.model.sig[probe]["in"].shape)
            recorded[probe] = np.empty(shape, self.dtype)
        with tqdm(total=n_steps, unit="step", disable=not show, leave=False) as progress:
            for values in self._iterate(n_steps, fed, None, recorded):
                for probe, array in values.items():
                    place = recorded[probe][:, filled[probe] : filled[probe] + array.shape[1]]
                    filled[probe] += array.shape[1]
                    if self.has_settled:
                        # Most of them nobody reads, and writing them takes as long as the steps before.
                        copies[probe].append((place, array))
                    elif not np.shares_memory(place, array):
                        place[...] = array
                progress.update(self._n_steps - steps[0] + 1 - progress.n)
        for probe, array in recorded.items():
            self.data.record(probe, array, copies[probe])

    def iter_steps(
        self, n_steps: int, data: Mapping[nengo.Node, ArrayLike] | None = None, chunk_steps: int | None = None
    ) -> Iterator[dict[nengo.Probe, np.ndarray]]:
        """Run, and yield what the probes see, chunk of time by chunk, without recording it.

        The state goes on from chunk to chunk. Steps that are not asked for do not run.

        Parameters
        ----------
        n_steps : int
            Number of time steps.
        data : dict, optional
            As for `run_steps`.
        chunk_steps : int, optional
            Steps in a chunk; the last one may be shorter. Default: what fits the memory budget. Does not change the
            result.

        Yields
        ------
        dict of {nengo.Probe: ndarray of shape (batch, steps, size)}
            Data of the chunk, always with an axis for items. Probes with ``sample_every`` have fewer steps.

        Raises
        ------
        ParameterError, nengo.exceptions.SimulatorClosed
            As `run_steps`.
        """
        self._check_run(n_steps)
        check_count("chunk_steps", chunk_steps, optional=True)
        fed = check_feed(data, self.model, n_steps, self.minibatch_size, self.dtype)
        return self._iterate(n_steps, fed, chunk_steps)

    def _check_run(self, n_steps):
        check_count("n_steps", n_steps)
        self._check_open("run")

    def _iterate(self, n_steps, fed, chunk_steps, recorded=None):
        engine = self._engine
        engine.feed(fed)
        at_most = chunk_steps or self._affordable_steps(engine)
        grows = chunk_steps is None and engine.may_settle
        if chunk_steps is None and not grows:
            # As many chunks, of about one length: a short last one has the overhead of a long one.
            at_most = -(-n_steps // -(-n_steps // at_most))
        wanted = {probe: self.model.sig[probe]["in"] for probe in self.model.probes}
        keys = {probe: signal_key(signal) for probe, signal in wanted.items()}
        start, values, were_copied = 0, {}, False
        while start < n_steps:
            self._check_open("run")
            # Asked anew for each chunk: between two of them the state may be reset.
            settled = start > 0 and engine.may_settle and engine.settled
            # The same with and without copies: in single precision the length of chunks decides how sums are rounded.
            length = min(at_most, max(1, start // _OVERSHOOT)) if grows and not settled else at_most
            stop = min(start + length, n_steps)
            places = {}
            for probe, array in (recorded or {}).items():
                rule = engine.sole_source(keys[probe])
                if rule is not None and probe.sample_every is None and array.ndim == 3:
                    places[id(rule)] = array[:, start:stop]
            chunk = StepRange(self._n_steps, stop - start, self.dt, places)
            copied = settled and self.skips_settled_steps
            if copied and not were_copied:
                # Copied: what was recorded in place is not to be kept alive, nor to be taken for this place.
                values = {key: array[:, -1:].copy() for key, array in values.items()}
                for array in values.values():
                    # All chunks that follow share it.
                    array.setflags(write=False)
            elif not copied:
                part = {signal: array if array.shape[1] == 1 else array[:, start:stop] for signal, array in fed.items()}
                values = engine.advance(chunk, part, keys.values())
            self._n_steps = chunk.stop
            self._has_settled = were_copied = copied
            yield {probe: self._probed(probe, values[key], wanted[probe].shape, chunk) for probe, key in keys.items()}
            start = stop

    def _affordable_steps(self, engine):
        step_bytes = engine.elements_per_step * self.dtype.itemsize * (self.minibatch_size or 1)
        budget = self.memory_budget or min(max(_MEMORY_BUDGET, _FEW_STEPS * step_bytes), _LARGEST_BUDGET)
        return max(1, budget // max(step_bytes, 1))

    def _probed(self, probe, array, shape, chunk):
        whole = (self.minibatch_size or 1, chunk.n_steps, array.shape[2])
        if array.shape != whole:
            # What stands still, or is the same for all items, was computed once.
            array = np.broadcast_to(array, whole)
        if probe.sample_every is not None:
            array = array[:, self._sampled(np.arange(chunk.start + 1, chunk.stop + 1), probe.sample_every)]
        return array.reshape((*array.shape[:2], *shape))

    def _sampled(self, steps, sample_every):
        # Nengo's own rule, which counts steps from 1.
        period = 1 if sample_every is None else sample_every / self.dt
        return steps % period < 1

    def _check_open(self, what):
        if self.closed:
            raise SimulatorClosed(f"simulator: it cannot be {what} because the simulator is closed. Make a new one.")
