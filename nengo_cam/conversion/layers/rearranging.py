"""Layers that move, leave out, interpolate, scale or subtract elements."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
import scipy.sparse

from .base import NativeConverter, converts

__all__ = ["ConvertCropping", "ConvertPermute", "ConvertRescaling", "ConvertSubtract", "ConvertUpSampling"]


@converts("Permute")
class ConvertPermute(NativeConverter):
    """The elements in the order of other axes."""

    def convert(self, node_id: int) -> Any:
        elements = _numbered(self.input_shape(node_id))
        return self.add_selection(node_id, elements.transpose([axis - 1 for axis in self.layer.dims]))


@converts("Cropping1D", "Cropping2D", "Cropping3D")
class ConvertCropping(NativeConverter):
    """The elements away from the edges."""

    def convert(self, node_id: int) -> Any:
        elements = _numbered(self.input_shape(node_id))
        # Two numbers for one axis, or two for each of several.
        cropping = np.reshape(self.layer.cropping, (-1, 2))
        first = 0 if _is_channels_last(self.layer) else 1
        where = [slice(before, n - after) for (before, after), n in zip(cropping, elements.shape[first:])]
        return self.add_selection(node_id, elements[(*[slice(None)] * first, *where)])


@converts("UpSampling1D", "UpSampling2D", "UpSampling3D")
class ConvertUpSampling(NativeConverter):
    """Each element several times, or the bilinear interpolation between four.

    Elements are repeated as NengoDL repeats them, without its table of distances between all cells of both maps.
    """

    def convert(self, node_id: int) -> Any:
        if getattr(self.layer, "interpolation", "nearest") == "bilinear":
            return self._interpolate(node_id)
        elements = _numbered(self.input_shape(node_id))
        for axis, times in enumerate(np.ravel(self.layer.size), start=0 if _is_channels_last(self.layer) else 1):
            elements = np.repeat(elements, times, axis=axis)
        return self.add_selection(node_id, elements)

    def _interpolate(self, node_id):
        shape = self.input_shape(node_id)
        last = _is_channels_last(self.layer)
        spatial, n_channels = (shape[:-1], shape[-1]) if last else (shape[1:], shape[0])
        y, x = (_interpolation(n, times) for n, times in zip(spatial, self.layer.size))
        matrix, channels = scipy.sparse.kron(y, x), scipy.sparse.identity(n_channels)
        matrix = scipy.sparse.kron(*((matrix, channels) if last else (channels, matrix)), format="csr")
        output = self.add_nengo_obj(node_id)
        self.add_connection(node_id, output, transform=nengo.Sparse(matrix.shape, init=matrix))
        return output

    @classmethod
    def convertible(cls, layer: Any, converter: Any) -> tuple[bool, str | None]:
        interpolation = getattr(layer, "interpolation", "nearest")
        if interpolation not in ("bilinear", "nearest"):
            return False, f"{layer.name}.interpolation has value {interpolation!r}, which is not supported"
        return super().convertible(layer, converter)


@converts("Rescaling")
class ConvertRescaling(NativeConverter):
    """Each element times a number, plus another."""

    def convert(self, node_id: int) -> Any:
        shape = self.output_shape(node_id)
        scale, offset = (np.broadcast_to(value, shape).ravel() for value in (self.layer.scale, self.layer.offset))
        output = self.add_nengo_obj(node_id)
        self.add_connection(node_id, output, transform=scale)
        if np.any(offset != 0):
            constant = nengo.Node(offset, label=f"{self.layer.name}.{node_id}.offset")
            self.set_trainable(nengo.Connection(constant, output, synapse=None), False)
        return output


@converts("Subtract")
class ConvertSubtract(NativeConverter):
    """One input, and the other with its sign turned."""

    def convert(self, node_id: int) -> Any:
        output = self.add_nengo_obj(node_id)
        self.add_connection(node_id, output)
        self.add_connection(node_id, output, input_idx=1, transform=-1)
        return output


def _numbered(shape):
    return np.arange(np.prod(shape)).reshape(shape)


def _is_channels_last(layer):
    # In one dimension some layers have no other format, and do not say.
    return getattr(layer, "data_format", "channels_last") == "channels_last"


def _interpolation(n, times):
    """Make the matrix (times * n, n) that interpolates along one axis, cells being as wide as they are apart."""
    place = np.clip((np.arange(times * n) + 0.5) / times - 0.5, 0, n - 1)
    below = np.minimum(place.astype(int), max(n - 2, 0))
    weight, above = place - below, np.minimum(below + 1, n - 1)
    rows = np.arange(times * n)
    entries = np.concatenate([1 - weight, weight]), (np.concatenate([rows, rows]), np.concatenate([below, above]))
    return scipy.sparse.csr_matrix(entries, shape=(times * n, n))
