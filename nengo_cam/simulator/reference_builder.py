"""Nengo's reference builder, without the work whose result nobody looks at.

Two things make up most of the time that it takes to build a converted network, and neither is used:

* Evaluation points and encoders of ensembles that are used by their neurons only. They are drawn when somebody asks
  for the parameters of the ensemble.
* Copies of the kernels of pooling: 784 x 256 x 256 numbers, all but 784 x 256 zero, for a 28 x 28 map of 256 channels.
  A view on one window position says the same.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import nengo
import numpy as np
from nengo.builder import Builder, Model, Signal
from nengo.builder.operator import Reset
from nengo.builder.transforms import ConvInc
from nengo.dists import Choice, Distribution

from .. import compat
from .convolution import n_groups
from .pooling import pooling_factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike

__all__ = ["LazyEnsemble", "build_model", "precision"]


@contextlib.contextmanager
def precision(dtype: DTypeLike) -> Iterator[None]:
    """Let Nengo build in the precision that the simulator runs in."""
    before = nengo.rc.get("precision", "bits")
    nengo.rc.set("precision", "bits", str(8 * np.dtype(dtype).itemsize))
    try:
        yield
    finally:
        nengo.rc.set("precision", "bits", before)


def build_model(network: nengo.Network | None, dt: float, dtype: np.dtype, model: Model | None = None) -> Model:
    """Build a network.

    Parameters
    ----------
    network : nengo.Network or None
        What to build; None if ``model`` is built already.
    dt : float
        Time step [s].
    dtype : numpy.dtype
        Precision of parameters.
    model : nengo.builder.Model, optional
        What to build it into.

    Returns
    -------
    nengo.builder.Model
        Its ``params`` hold a `LazyEnsemble` for each ensemble of which only the neurons are used.
    """
    if model is None:
        model = Model(dt=float(dt), label=f"{network}, dt={dt:f}", builder=_LeanBuilder())
    if network is None:
        return model
    with precision(dtype), _without_samples(_ensembles_of_neurons(network)) as lean:
        model.build(network)
    for ensemble in lean:
        model.params[ensemble] = LazyEnsemble(model, ensemble, dtype)
    return model


class LazyEnsemble:
    """Stands for the built parameters of an ensemble, until somebody asks for them."""

    def __init__(self, model: Model, ensemble: nengo.Ensemble, dtype: DTypeLike):
        self._seed = model.seeds[ensemble]
        self._dt = model.dt
        self._ensemble = ensemble
        self._dtype = dtype

    def build(self) -> Any:
        """Build them, as Nengo does."""
        model = Model(dt=self._dt)
        model.seeds[self._ensemble] = self._seed
        with precision(self._dtype):
            model.build(self._ensemble)
        return model.params[self._ensemble]


def _ensembles_of_neurons(network):
    """Find ensembles of which only the neurons are used, and whose gains and biases are not random."""
    used = {nengo_object for conn in network.all_connections for nengo_object in (conn.pre_obj, conn.post_obj)}
    used.update(probe.obj for probe in network.all_probes)
    return [
        ensemble
        for ensemble in network.all_ensembles
        if ensemble not in used
        and ensemble.noise is None
        and not isinstance(ensemble.neuron_type, nengo.Direct)
        and _is_certain(ensemble.gain)
        and _is_certain(ensemble.bias)
    ]


def _is_certain(samples):
    if isinstance(samples, Distribution):
        return isinstance(samples, Choice) and len(samples.options) == 1
    return samples is not None


@contextlib.contextmanager
def _without_samples(ensembles):
    """Let ensembles have one evaluation point and equal encoders for a while."""
    before = [(e, e.eval_points, e.encoders, e.n_eval_points) for e in ensembles]
    try:
        for ensemble in ensembles:
            ensemble.n_eval_points = None
            ensemble.eval_points = np.zeros((1, ensemble.dimensions))
            ensemble.encoders = np.ones((ensemble.n_neurons, ensemble.dimensions))
        yield ensembles
    finally:
        # However it ended: the objects are the user's.
        for ensemble, eval_points, encoders, n_eval_points in before:
            ensemble.eval_points, ensemble.encoders, ensemble.n_eval_points = eval_points, encoders, n_eval_points


class _LeanBuilder(Builder):
    """Nengo's builder, but for the transforms that are pooling, and NengoDL's for its TensorNodes."""

    @classmethod
    def build(cls, model, obj, *args, **kwargs):
        # NengoDL keeps its builder in a registry of its own; in Nengo's a TensorNode is a node with an output it lacks.
        nengo_dl = compat.loaded_nengo_dl()
        if nengo_dl is not None and isinstance(obj, nengo_dl.TensorNode):
            return nengo_dl.tensor_node.build_tensor_node(model, obj)
        if type(obj) is nengo.Convolution and isinstance(obj.init, np.ndarray) and kwargs.get("decoders") is None:
            factor = pooling_factor(obj, obj.init)
            # With groups the kernel is small.
            if factor is not None and n_groups(obj) == 1:
                return _build_pooling(model, obj, factor, *args)
        return super().build(model, obj, *args, **kwargs)


def _build_pooling(model, conn, factor, signal):
    dtype = nengo.rc.float_dtype
    kernel = np.broadcast_to(np.eye(conn.n_filters, dtype=dtype) * dtype.type(factor), conn.kernel_shape)
    kernel.setflags(write=False)
    weights = compat.view_signal(kernel, f"{conn}.weights")
    weighted = Signal(shape=conn.size_out, name=f"{conn}.weighted")
    model.add_op(Reset(weighted))
    model.add_op(ConvInc(weights, signal, weighted, conn, tag=f"{conn}.apply_weights"))
    return weighted, weights
