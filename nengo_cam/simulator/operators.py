"""Rules for Nengo's elementary operators: copies, products, the clock, Python functions."""

import functools

import numpy as np
import scipy.sparse
from nengo.builder.node import SimPyFunc
from nengo.builder.operator import (
    BsrDotInc,
    Copy,
    DotInc,
    ElementwiseInc,
    Reset,
    SparseDotInc,
    TimeUpdate,
)
from nengo.builder.probe import SimProbe
from nengo.exceptions import SimulationError
from nengo.utils.functions import function_name

from .. import compat
from .operator_folding import unscaling
from .operator_rules import Rule, register_operator
from .signals import Value, as_slice
from .tensors import to_numpy

__all__ = []

#: Matrices with at least this many elements are multiplied by TensorFlow, in networks that load it anyway. NumPy is as
#: fast, but adds up in another order, and a converted CNN gives bit for bit what it has always given.
_LARGE_MATRIX = 2**16


@register_operator(TimeUpdate)
class TimeUpdateRule(Rule):
    """The step counter and the time."""

    moving = True

    @property
    def may_settle(self):
        # Every network has a clock; it matters only where somebody looks at it.
        return not any(map(self.build.is_read, self.outputs))

    def __call__(self, inputs, chunk):
        steps = np.arange(chunk.start + 1, chunk.stop + 1, dtype=self.build.dtype)
        return [Value(steps[None, :, None]), Value(chunk.times.astype(self.build.dtype)[None, :, None])]


@register_operator(Reset)
class ResetRule(Rule):
    """A constant. Zeros that something is added to are left out when the operators are planned."""

    def __call__(self, inputs, chunk):
        return [Value(np.full((1, 1, self.operator.dst.size), self.operator.value, self.build.dtype))]


@register_operator(SimProbe)
class SimProbeRule(Rule):
    """Keeps its signal from being dropped; the data is read by the simulator."""

    moving = True
    may_settle = True

    def __call__(self, inputs, chunk):
        return []


@register_operator(Copy)
class CopyRule(Rule):
    """Selection on the one side, scattering on the other; a plain copy shares its input's memory."""

    def __init__(self, operator, build):
        super().__init__(operator, build)
        self._source = self._canonical(operator.src_slice, operator.src.size)
        self._target = self._canonical(operator.dst_slice, operator.dst.size)
        self._size = operator.dst.size
        self._repeats = isinstance(self._target, np.ndarray) and len(np.unique(self._target)) < len(self._target)

    @staticmethod
    def _canonical(indices, size):
        return None if indices is None else as_slice(np.arange(size)[np.asarray(indices)])

    def __call__(self, inputs, chunk):
        (value,) = inputs
        if self._source is not None:
            value = Value(value.dense()[:, :, self._source])
        if self._target is not None or value.size != self._size:
            array = value.dense()
            out = np.zeros((*array.shape[:2], self._size), array.dtype)
            target = slice(None) if self._target is None else self._target
            if self._repeats:
                # Plain assignment would keep the last of those that come twice; the reference adds them.
                np.add.at(out, (slice(None), slice(None), target), array)
            else:
                out[:, :, target] = array
            value = Value(out)
        return [value]


@register_operator(ElementwiseInc)
class ElementwiseIncRule(Rule):
    """Product with constant factors, which is left to whoever adds up its terms."""

    def __init__(self, operator, build):
        super().__init__(operator, build)
        factors = build.constant(operator.A).ravel()
        if len(factors) and np.all(factors == factors[0]):
            factors = factors[0]
        self._factors = factors
        self._fits = np.size(factors) in (1, operator.Y.size) and operator.X.size == operator.Y.size

    @property
    def inputs(self):
        return [self.operator.X]

    def __call__(self, inputs, chunk):
        (value,) = inputs
        if self._fits:
            return [value if np.all(self._factors == 1) else value.scaled(self._factors)]
        # One side or the other is a scalar that is spread out.
        size = self.operator.Y.size
        array = value.dense() * self._factors
        return [Value(np.broadcast_to(array, (*array.shape[:2], size)))]


@register_operator(DotInc)
class DotIncRule(Rule):
    """Product with a constant matrix.

    In double precision it is computed vector by vector as the reference does, because how a product of matrices adds
    up depends on their shapes.
    """

    def __init__(self, operator, build):
        super().__init__(operator, build)
        matrix = build.constant(operator.A)
        self._matrix = matrix.reshape(-1, operator.X.size) if matrix.ndim else matrix.reshape(1, 1)
        self._by_tensorflow = build.uses_tensorflow and not build.exact and self._matrix.size >= _LARGE_MATRIX

    @property
    def inputs(self):
        return [self.operator.X]

    @functools.cached_property
    def _loaded(self):
        tf = compat.import_tensorflow()
        return tf.linalg.matmul, tf.constant(self._matrix)

    def __call__(self, inputs, chunk):
        array = inputs[0].dense()
        if self.build.exact:
            if array.shape[2] == 1:
                return [Value(array * self._matrix[:, 0])]
            return [Value(np.matmul(self._matrix, array[..., None])[..., 0])]
        flat = array.reshape(-1, array.shape[2])
        if self._by_tensorflow:
            multiply, matrix = self._loaded
            out = to_numpy(multiply(flat, matrix, transpose_b=True))
        else:
            out = flat @ self._matrix.T
        return [Value((out.reshape((*array.shape[:2], -1)), unscaling(self.operator)))]


@register_operator(BsrDotInc)
@register_operator(SparseDotInc)
class SparseDotIncRule(Rule):
    """Product with a constant sparse matrix; with one entry in each row it is a selection and a scaling."""

    def __init__(self, operator, build):
        super().__init__(operator, build)
        if isinstance(operator, BsrDotInc):
            blocks = build.constant(operator.A)
            matrix = scipy.sparse.bsr_matrix((blocks, operator.indices, operator.indptr)).tocsr()
        else:
            initial = operator.A.initial_value
            matrix = initial if scipy.sparse.issparse(initial) else initial.allocate()
            matrix = scipy.sparse.csr_matrix(matrix)
        self._matrix = matrix.astype(build.dtype)
        self._columns = None
        if np.array_equal(np.diff(self._matrix.indptr), np.ones(self._matrix.shape[0])):
            self._columns = as_slice(self._matrix.indices)
            self._factors = None if np.all(self._matrix.data == 1) else self._matrix.data

    @property
    def inputs(self):
        return [self.operator.X]

    def __call__(self, inputs, chunk):
        array = inputs[0].dense()
        if self._columns is not None:
            value = Value(array[:, :, self._columns])
            return [value if self._factors is None else value.scaled(self._factors)]
        out = self._matrix @ array.reshape(-1, array.shape[2]).T
        return [Value(np.ascontiguousarray(out.T).reshape((*array.shape[:2], -1)))]


@register_operator(SimPyFunc)
class SimPyFuncRule(Rule):
    """A Python function, called for each step in the order of time, and within a step for each item."""

    moving = True

    @property
    def inputs(self):
        return [] if self.operator.x is None else [self.operator.x]

    def __call__(self, inputs, chunk):
        x = inputs[0].dense() if inputs else None
        batch = 1 if x is None else x.shape[0]
        output = self.operator.output
        out = None if output is None else np.empty((batch, chunk.n_steps, output.size), self.build.dtype)
        for step, time in enumerate(chunk.times):
            for item in range(batch):
                args = [] if self.operator.t is None else [float(time)]
                if x is not None:
                    # A copy: the function may keep it, or write into it.
                    args.append(x[item, step if x.shape[1] > 1 else 0].reshape(self.operator.x.shape).copy())
                result = self.operator.fn(*args)
                if out is not None:
                    out[item, step] = self._checked(result)
        return [] if out is None else [Value(out)]

    def _checked(self, result):
        name = function_name(self.operator.fn)
        try:
            if result is None or not np.all(np.isfinite(result)):
                raise SimulationError(f"Function {name!r} returned non-finite value {result!r}")
            return np.broadcast_to(np.asarray(result, self.build.dtype), self.operator.output.shape).ravel()
        except (TypeError, ValueError) as err:
            raise SimulationError(f"Function {name!r} returned a value {result!r} of invalid type") from err
