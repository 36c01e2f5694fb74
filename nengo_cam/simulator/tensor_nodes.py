"""The rule for NengoDL's TensorNodes: their function applied to all steps and items at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import compat
from .operator_rules import Rule, register_operator
from .signals import Value
from .tensors import to_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nengo.builder import Operator, Signal

    from .context import Build, StepRange

__all__ = ["TensorNodeRule"]


# By name: who has no TensorNodes need not load NengoDL, and with it TensorFlow.
@register_operator("nengo_dl.tensor_node.SimTensorNode")
class TensorNodeRule(Rule):
    """A function of TensorFlow's; one that is passed the time runs step by step."""

    def __init__(self, operator: Operator, build: Build):
        super().__init__(operator, build)
        self._tf = compat.import_tensorflow()
        self.moving = operator.time is not None
        function = operator.func
        self._is_layer = isinstance(function, self._tf.keras.layers.Layer)
        if self._is_layer and not function.built:
            shape = None if operator.shape_in is None else (None, *operator.shape_in)
            shapes = [s for s in (() if self.moving else None, shape) if s is not None]
            function.build(shapes[0] if len(shapes) == 1 else shapes)

    @property
    def inputs(self) -> list[Signal]:
        return [] if self.operator.input is None else [self.operator.input]

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        if not self.moving:
            still = inputs[0].dense()
            out = self._apply([self._frames(still.reshape(-1, still.shape[2]))])
            return [Value(out.reshape((*still.shape[:2], -1)))]
        array = inputs[0].dense() if inputs else None
        steps = []
        for step, time in enumerate(chunk.times):
            args = [self._tf.constant(time, self.build.dtype)]
            if array is not None:
                args.append(self._frames(array[:, step if array.shape[1] > 1 else 0]))
            steps.append(self._apply(args).reshape(-1, self.operator.output.size))
        return [Value(np.stack(steps, axis=1))]

    def _frames(self, flat):
        shape = (flat.shape[1],) if self.operator.shape_in is None else self.operator.shape_in
        return self._tf.convert_to_tensor(np.ascontiguousarray(flat).reshape((len(flat), *shape)))

    def _apply(self, args):
        function = self.operator.func
        if not self._is_layer:
            out = function(*args)
        else:
            # As NengoDL does: past __call__, which would cast double precision to single.
            if function.weights:
                args = [self._tf.cast(arg, function.weights[0].dtype) for arg in args]
            kwargs = {"training": False} if compat.expects_training(function) else {}
            out = function.call(args[0] if len(args) == 1 else args, **kwargs)
        return np.asarray(to_numpy(out), self.build.dtype)
