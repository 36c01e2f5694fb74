"""What stands in a network as weights of its readout: the kernel of the map itself, or something else.

From outside a kernel is put together of all connections between features and logits, by `linear_path`. What computes
the map while the network runs reads one signal only, the weights of the readout as they are at that step. So these have
to be the kernel, for all positions or for each, and here it is told which, before anything is built.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import nengo
import numpy as np

from ..exceptions import UnsupportedModelError
from .linear_path import ROUNDING, LinearPath, object_name

__all__ = ["weighs_positions"]


def weighs_positions(path: LinearPath, name: str, map_shape: tuple[int, ...]) -> bool:
    """Tell whether a readout has a weight for each position, or one for all behind a mean over them.

    Parameters
    ----------
    path : nengo_cam.conversion.linear_path.LinearPath
        What lies between features and logits.
    name : str
        What to call the network in errors.
    map_shape : tuple of int
        Shape (Y, X) of the map.

    Returns
    -------
    bool
        True: weights (L, Y * X * K), straight from the features, times Y * X of which the map is made. False: weights
        (L, K) behind a plain mean. Either may be written as a convolution that has one position.

    Raises
    ------
    UnsupportedModelError
        If the weights of the readout are not the kernel of the map.
    """
    return _Form(path, name, map_shape).weighs_positions()


class _Form:
    """Refuses, case by case, what would give another map than that of the logits."""

    def __init__(self, path: LinearPath, name: str, map_shape: tuple[int, ...]) -> None:
        self._path, self._name, self._map_shape = path, name, map_shape

    def weighs_positions(self) -> bool:
        self._check_target()
        self._check_weights()
        if self._path.is_direct:
            return True
        self._check_mean()
        return False

    def _check_target(self) -> None:
        target = self._path.readout.post_obj
        if not isinstance(target, nengo.ensemble.Neurons):
            return
        gain = target.ensemble.gain
        # Nengo multiplies behind the weights, where the operator does not look.
        if not (isinstance(gain, np.ndarray) and (gain == 1).all()):
            known = f"{gain.min():g} to {gain.max():g}" if isinstance(gain, np.ndarray) else repr(gain)
            self._refuse(
                f"the neurons {object_name(target)!r} multiply what the readout brings by their gain",
                "gains of 1",
                "those that Nengo finds" if gain is None else known,
                f"Lead the readout to nengo.Node(size_in={target.size_in}), and that on to the neurons",
            )

    def _check_weights(self) -> None:
        """Refuse weights that are not a number for each label and each element of what they come from."""
        readout, n_labels = self._path.readout, self._path.n_labels
        source, transform = readout.pre_obj, readout.transform
        if isinstance(source, nengo.Ensemble):
            if source == self._path.features:
                self._refuse(
                    f"the readout decodes {object_name(source)!r}, so that its weights are those of neurons",
                    "features=ensemble.neurons, or a node between the two",
                    "what the ensemble represents",
                    "Pass the neurons as features, or decode to a nengo.Node first",
                )
            # With decoders a plain matrix becomes one of all neurons; of other transforms the signal has another form.
            if not isinstance(transform, (nengo.Dense, nengo.transforms.NoTransform)):
                self._refuse_weights(source.n_neurons, type(transform).__name__)
            return
        if not np.array_equal(np.arange(source.size_out)[readout.pre_slice], np.arange(source.size_out)):
            self._refuse(
                f"the readout comes from a part of {object_name(source)!r}",
                "all of it, in its order",
                f"[{readout.pre_slice}]",
                "Give what it leaves out a weight of 0",
            )
        if isinstance(transform, nengo.Dense):
            # A number, or one for each element, stands for a diagonal.
            shape = transform.init_shape
        else:
            shape = (n_labels, source.size_out) if _sees_all_at_once(transform) else ()
        if tuple(shape) != (n_labels, source.size_out):
            kind = type(transform).__name__
            self._refuse_weights(source.size_out, f"Dense with weights of shape {shape}" if kind == "Dense" else kind)

    def _check_mean(self) -> None:
        """Refuse pooling that is something else than the mean of each channel over all positions."""
        path, pooled = self._path, self._path.readout.pre_obj
        for connection in path.pooling_connections:
            init = getattr(connection.transform, "init", None)
            # A sparse matrix has its values, or what draws them, inside.
            if any(isinstance(part, nengo.dists.Distribution) for part in (init, getattr(init, "data", None))):
                self._refuse(
                    f"the weights of {connection!r} are drawn when it is built",
                    "an array",
                    repr(init),
                    "Draw it before",
                )
        matrix = path.pooling_matrix()
        n_cells = math.prod(self._map_shape)
        n_channels = matrix.shape[1] // n_cells
        mean = np.tile(np.eye(n_channels), n_cells) / n_cells
        if matrix.shape != mean.shape or np.abs(matrix - mean).max() > ROUNDING * mean.max():
            self._refuse(
                f"{object_name(pooled)!r} takes something else than the mean of {object_name(path.features)!r}",
                f"each channel at each position times 1/{n_cells}",
                "other weights",
                "Pool by that mean, or let the readout come from the features with a weight for each position",
            )

    def _refuse_weights(self, size: int, got: str) -> NoReturn:
        shape = (self._path.n_labels, size)
        self._refuse(
            "the weights of the readout are no matrix of labels and what it comes from",
            f"nengo.Dense with an array of shape {shape}",
            got,
            f"Write its weights as an array of shape {shape}",
        )

    def _refuse(self, problem: str, expected: str, got: str, remedy: str) -> NoReturn:
        raise UnsupportedModelError(
            f"network {self._name!r}: cam_node multiplies features by the weights of the readout, and {problem}; "
            f"expected {expected}, got {got}. {remedy}; nengo_cam.spiking_cam reads the network as it is."
        )


def _sees_all_at_once(transform: Any) -> bool:
    """Tell whether a transform is a convolution whose only window is all of its input, so that it is a matrix."""
    # Of `ConvolutionTranspose` and of groups the weights stand in another order.
    if type(transform) is not nengo.Convolution or getattr(transform, "groups", 1) > 1:
        return False
    window = transform.input_shape.spatial_shape
    if math.prod(transform.output_shape.spatial_shape) > 1 or tuple(transform.kernel_size) != tuple(window):
        return False
    # Weights have channels behind positions, whatever the input has; of one position that makes no difference.
    return transform.channels_last or math.prod(window) == 1
