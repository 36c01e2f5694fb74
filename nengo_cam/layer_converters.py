"""Converters for Keras layers that `nengo_dl.Converter` does not convert well."""

import contextlib

import nengo
import numpy as np

from . import compat

__all__ = ["registered"]


def _global_average_pooling(nengo_dl):
    """Make a converter for GlobalAveragePooling2D that gives NengoDL's own result in less memory.

    NengoDL pools by a convolution whose kernel (Y, X, K, K) is an identity over channels at every position. With 256
    channels on 28 x 28 positions this is 411 MB in double precision, made twice. Here the positions share one identity.
    """

    class ConvertGlobalAveragePooling2D(nengo_dl.converter.ConvertAvgPool2D):
        def convert(self, node_id):
            *positions, n_channels = shape = self.input_shape(node_id)
            identity = np.eye(n_channels) / np.prod(positions)
            transform = nengo.Convolution(
                n_channels, shape, kernel_size=tuple(positions), strides=(1, 1), padding="valid", channels_last=True
            )
            compat.set_read_only(transform, "init", np.broadcast_to(identity, (*positions, *identity.shape)))
            output = self.add_nengo_obj(node_id)
            self.add_connection(node_id, output, transform=transform)
            return output

    return ConvertGlobalAveragePooling2D


@contextlib.contextmanager
def registered():
    """Let ``nengo_dl.Converter`` use the converters of this module, inside the block only.

    Yields
    ------
    None
    """
    nengo_dl = compat.import_nengo_dl()
    layers = compat.import_tensorflow().keras.layers
    converters = nengo_dl.Converter.converters
    before = dict(converters)
    converters[layers.GlobalAveragePooling2D] = _global_average_pooling(nengo_dl)
    try:
        yield
    finally:
        converters.clear()
        converters.update(before)
