"""What a Nengo transform does backwards: from what its outputs are worth to what its inputs are worth."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from numpy.typing import NDArray

from ..models.macs import window_padding

__all__ = ["convolution_transposed", "pull_back", "sparse_matrix"]


def convolution_transposed(
    transform: Any, kernel: NDArray[np.float64], arriving: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply a vector by the transposed matrix of a convolution, window cell by window cell.

    Parameters
    ----------
    transform : nengo.Convolution or nengo.ConvolutionTranspose
        The convolution: its shapes, strides and padding.
    kernel : ndarray of shape (*kernel_size, channels in, filters)
        Its weights, or what stands in their place.
    arriving : ndarray of shape (size_out,)
        The vector, such as what one unit of each output is worth.

    Returns
    -------
    ndarray of shape (size_in,)
        What one unit of each input is worth.
    """
    is_transposed = isinstance(transform, nengo.ConvolutionTranspose)
    shape_in, shape_out = transform.input_shape, transform.output_shape
    values = arriving.reshape(shape_out.shape)
    if not transform.channels_last:
        values = np.moveaxis(values, 0, -1)
    larger, smaller = (s.spatial_shape for s in ((shape_out, shape_in) if is_transposed else (shape_in, shape_out)))
    padding = [
        window_padding(*axis, transform.padding)
        for axis in zip(larger, smaller, transform.kernel_size, transform.strides)
    ]
    widths = [(before, max(behind, 0)) for before, behind in padding]
    n_groups = getattr(transform, "groups", 1)
    # Filters of a group stand side by side.
    kernel = kernel.reshape(*kernel.shape[:-1], n_groups, -1)
    if is_transposed:
        values = np.pad(values, [*widths, (0, 0)])
        counts = np.zeros((*smaller, shape_in.n_channels))
    else:
        counts = np.zeros((*(n + sum(width) for n, width in zip(larger, widths)), shape_in.n_channels))
    for cell in np.ndindex(*transform.kernel_size):
        window = tuple(
            slice(first, first + (n - 1) * stride + 1, stride)
            for first, n, stride in zip(cell, smaller, transform.strides)
        )
        targets = values[window] if is_transposed else values
        targets = targets.reshape(*smaller, n_groups, -1)
        sources = np.einsum("...gf,cgf->...gc", targets, kernel[cell]).reshape(*smaller, -1)
        counts[() if is_transposed else window] += sources
    if not is_transposed:
        counts = counts[tuple(slice(width[0], width[0] + n) for width, n in zip(widths, larger))]
    return (counts if transform.channels_last else np.moveaxis(counts, -1, 0)).ravel()


def pull_back(connection: nengo.Connection, weights: Any, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply rows by the matrix of a connection: from what it leads to, to what it comes from.

    Parameters
    ----------
    connection : nengo.Connection
        A linear one; its slices count, its synapse does not.
    weights : array_like, sparse matrix or None
        Its weights as a simulator has them; None without a transform.
    rows : ndarray of shape (R, size of ``connection.post_obj``)
        What each element of the target is worth, R times.

    Returns
    -------
    ndarray of shape (R, size of ``connection.pre_obj``)
        What each element of the source is worth, by way of this connection.
    """
    worth = np.asarray(rows)[:, connection.post_slice]
    kind = type(connection.transform)
    if weights is None or kind is nengo.transforms.NoTransform:
        pulled = worth
    elif kind is nengo.Sparse:
        matrix = sparse_matrix(weights)
        pulled = (matrix.T @ worth.T).T
    elif kind is nengo.Dense:
        matrix = np.asarray(weights, float)
        # A number, or one for each element, stands for a diagonal.
        pulled = worth @ matrix if matrix.ndim == 2 else worth * matrix
    else:
        kernel = np.asarray(weights, float)
        pulled = np.stack([convolution_transposed(connection.transform, kernel, row) for row in worth])
    result = np.zeros((len(worth), connection.pre_obj.size_out))
    # Not "+=": a slice may name an element twice, and both count.
    np.add.at(result.T, connection.pre_slice, pulled.T)
    return result


def sparse_matrix(weights: Any) -> Any:
    """Make a matrix of the weights of a `nengo.Sparse`.

    Parameters
    ----------
    weights : nengo.transforms.SparseMatrix or scipy.sparse.spmatrix
        As the owner of the network wrote them; only the second can be multiplied.

    Returns
    -------
    scipy.sparse.spmatrix, or ndarray without SciPy
    """
    return weights.allocate() if isinstance(weights, nengo.transforms.SparseMatrix) else weights
