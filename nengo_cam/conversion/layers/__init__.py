"""Converters for Keras layers that `nengo_dl.Converter` does not convert, or not well.

``base`` holds their registry and how they connect; ``convolutions``, ``pooling``, ``rearranging``, ``activations``,
``spiking`` (of KerasSpiking's layers) and ``fallback`` the converters; ``unsupported`` the layers that have no form as
a spiking network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ... import compat
from ...models.simplify import clipped_relu
from ...models.spiking_keras import spiking_forms
from ...neurons import ClippedRectifiedLinear
from . import convolutions, fallback, pooling, rearranging
from .activations import ConvertClippedReLU, rate_form
from .base import CONVERTERS
from .spiking import ConvertFilterForm, ConvertSpikingForm
from .unsupported import check_layers

__all__ = ["check_layers", "convolutions", "fallback", "pooling", "rate_form", "rearranging", "registered"]


@contextlib.contextmanager
def registered() -> Iterator[None]:
    """Let ``nengo_dl.Converter`` use the converters of this package, inside the block only.

    Yields
    ------
    None
    """
    nengo_dl = compat.import_nengo_dl()
    tf = compat.import_tensorflow()
    converters, activations = nengo_dl.Converter.converters, nengo_dl.converter.LayerConverter.activation_map
    # NengoDL's registries belong to the process: other users' conversions see them unchanged.
    before = [(registry, dict(registry)) for registry in (converters, activations)]
    for name, converter in CONVERTERS.items():
        converters[None if name is None else getattr(tf.keras.layers, name)] = converter
    converters[clipped_relu()] = ConvertClippedReLU
    converters[spiking_forms().activation] = ConvertSpikingForm
    converters[spiking_forms().filter] = ConvertFilterForm
    activations[tf.nn.relu6] = ClippedRectifiedLinear(6)
    try:
        yield
    finally:
        for registry, entries in before:
            registry.clear()
            registry.update(entries)
