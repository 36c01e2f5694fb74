"""How NengoDL runs `nengo_cam.measurement.map_operator.MapOperator`: in TensorFlow, so that gradients go through.

Importing this module needs TensorFlow and NengoDL, and registers the builder with it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from nengo_dl.builder import Builder, OpBuilder

from .map_operator import MapOperator

__all__ = ["MapOperatorBuilder"]


@Builder.register(MapOperator)
class MapOperatorBuilder(OpBuilder):
    """Build a `MapOperator`."""

    def build_pre(self, signals: Any, config: Any) -> None:
        """Look up signals; see ``nengo_dl.builder.OpBuilder.build_pre``."""
        super().build_pre(signals, config)
        # Builders are given one operator each, as nothing says that these can be merged.
        (operator,) = self.ops
        self.n_labels, self.labels = operator.n_labels, operator.labels
        self.by_position = operator.by_position
        self.weights, self.maps = signals[operator.weights], signals[operator.maps]
        self.features = signals[operator.features].reshape((-1, operator.n_channels))

    def build_step(self, signals: Any) -> None:
        """Compute the maps of a step; see ``nengo_dl.builder.OpBuilder.build_step``."""
        weights = signals.gather(self.weights)
        # A learning rule gives each item of the minibatch weights of its own; all others share theirs.
        leading = weights.shape[:1] if self.weights.minibatched else []
        if weights.shape.rank - len(leading) == 2:
            kernel = weights
        else:
            kernel = tf.linalg.matrix_transpose(tf.reshape(weights, (*leading, -1, self.n_labels)))
        kernel = tf.gather(kernel, self.labels, axis=-2)
        features = signals.gather(self.features)
        if self.by_position:
            n_cells = features.shape[1]
            # Shared weights get a leading axis of 1, along which they are the same for all items.
            kernel = tf.reshape(kernel, (*(leading or (1,)), len(self.labels), *features.shape[1:]))
            maps = n_cells * tf.reduce_sum(kernel * features[:, tf.newaxis], axis=-1)
        else:
            maps = tf.matmul(kernel, features, transpose_b=True)
        signals.scatter(self.maps, tf.reshape(maps, (signals.minibatch_size, -1)))
