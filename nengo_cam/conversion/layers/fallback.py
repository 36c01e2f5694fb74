"""Layers that stay TensorFlow operations."""

from __future__ import annotations

from typing import Any

from .base import NativeConverter, converts, nengo_dl

__all__ = ["ConvertFallback"]


@converts(None)
class ConvertFallback(NativeConverter, nengo_dl.converter.ConvertFallback):
    """A TensorNode that sees what the neurons in front of it say through the converter's synapse.

    NengoDL connects it without one [1]_, so that the maximum of a window, say, is taken of single spikes.

    References
    ----------
    .. [1] https://github.com/nengo/nengo-dl/issues/214
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # NengoDL has built a copy and given it the weights. A layer whose own `build` does not say so would be built
        # again when it is called, with weights drawn anew.
        self.tensor_layer.layer_func.built = self.layer.built

    def convert(self, node_id: int) -> Any:
        source = self.get_input_obj(node_id)
        return self.tensor_layer(
            source,
            shape_in=self.input_shape(node_id),
            synapse=self.synapse_after(source),
            label=f"{self.layer.name}.{node_id}",
        )
