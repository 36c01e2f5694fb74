"""From features to maps where one kernel will not do: weights of each position and step, and a filter behind them."""

from __future__ import annotations

import nengo
import numpy as np
from numpy.typing import NDArray

__all__ = ["MapFilter", "project"]


def project(features: NDArray[np.floating], kernel: NDArray[np.floating]) -> NDArray[np.floating]:
    """Weight features by kernels of their own, of a position or of a position and a step.

    One kernel for all is `nengo_cam.class_activation_map`.

    Parameters
    ----------
    features : ndarray of shape (N, T, Y, X, K)
        Activity that is pooled.
    kernel : ndarray of shape (Y, X, K, L) or (N, T, Y, X, K, L)
        Weights of the map [logit per unit of activity].

    Returns
    -------
    ndarray of shape (N, T, Y, X, L)
        Maps [logit].
    """
    return np.einsum("...k,...kl->...l", features, kernel)


class MapFilter:
    """Filters maps over time as Nengo filters what a connection brings.

    Weights that learn stand in front of their connection's synapse. It filters what they make of the features at each
    step, so the map of a step is the filtered map: then its mean over positions is the filtered logit.

    Parameters
    ----------
    synapse : nengo.synapses.Synapse
        The filter.
    dt : float
        Time step [s].
    """

    def __init__(self, synapse: nengo.synapses.Synapse, dt: float) -> None:
        self._synapse, self._dt = synapse, dt

    def __call__(self, start: int, maps: NDArray[np.floating]) -> NDArray[np.floating]:
        """Filter the maps of some steps.

        Parameters
        ----------
        start : int
            The first step; from step 0 on other images begin.
        maps : ndarray of shape (N, steps, ...)
            Maps of steps that follow on the last ones.

        Returns
        -------
        ndarray of shape (N, steps, ...)
            Filtered maps.
        """
        if start == 0:
            # As a vector: filters of Nengo 3 take no more axes.
            shape = (maps[:, 0].size,)
            state = self._synapse.make_state(shape, shape, self._dt, dtype=np.float64)
            self._step = self._synapse.make_step(shape, shape, self._dt, None, state)
            self._last = np.zeros(shape)
        filtered = np.empty_like(maps)
        for i in range(maps.shape[1]):
            # A synapse on a connection gives out at the next step what it makes of this one.
            filtered[:, i] = self._last.reshape(maps[:, i].shape)
            self._last = np.array(self._step((start + i + 1) * self._dt, maps[:, i].astype(float).ravel()))
        return filtered
