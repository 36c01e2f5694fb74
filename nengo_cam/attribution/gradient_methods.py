"""A function for each method of gradients, with its equation and its source.

Each is `nengo_cam.attribute` with the name of the method. In the equations :math:`s` is what is explained, such as the
logit of a label; :math:`x` the image; :math:`A_k` the measured activity of channel k of a layer; :math:`z` the mean
current into a rectified layer. For a CNN without spikes pass the name to `nengo_cam.rate_attribute`.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from ..checks.sources import Images
from ..conversion.convert import CAMNetwork
from .attribute import attribute

__all__ = [
    "deconvnet",
    "grad_cam",
    "guided_backprop",
    "guided_grad_cam",
    "hires_cam",
    "input_times_gradient",
    "layer_cam",
    "saliency",
]


def deconvnet(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Send only positive gradients back, wherever currents are.

    At each rectified layer :math:`g \leftarrow \max(g, 0)` [1]_, from 1 at the logit. Only max pooling, which goes back
    to the winner of the mean activity, ties it to the image: without it the map of a label is the same for all images
    and at all times, and a warning says so. Nothing is conserved. Defined for ReLU only; there is no gate.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit per unit of input].

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    Warns
    -----
    AttributionWarning
        If the model has no max pooling.

    References
    ----------
    .. [1] Zeiler and Fergus (2014). Visualizing and Understanding Convolutional Networks. ECCV. arXiv:1311.2901,
       section 2.1.
    """
    return attribute(net, images, "deconvnet", n_steps=n_steps, **options)


def grad_cam(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Weight the activity of a layer by its gradient, averaged over positions.

    Computes :math:`\sum_k \alpha_k A_k(y, x)`, with :math:`\alpha_k` the mean of :math:`\partial s / \partial A_k` over
    positions [1]_, before the ReLU that the authors apply: correlate it so, as after it a map can be all zero. At the
    layer that is pooled, times the number of its cells, it is the class-activation map of the mean activity, exactly.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`, ``layer`` among them.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit], at the cells of the layer.

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Selvaraju et al. (2017). Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
       ICCV. arXiv:1610.02391, eqs. 1, 2.

    Examples
    --------
    >>> maps = ncam.attribution.grad_cam(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "grad_cam", n_steps=n_steps, **options)


def guided_backprop(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Send only positive gradients back, where currents are positive.

    At each rectified layer :math:`g \leftarrow \max(g, 0)\, [\bar z > 0]` [1]_, from 1 at the logit (iNNvestigate
    starts from the logit itself). It draws what the network looks at and hardly depends on the label: between
    labels maps correlate .86 on the digits. Nothing is conserved. Defined for ReLU only.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit per unit of input].

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Springenberg et al. (2015). Striving for Simplicity: The All Convolutional Net. ICLR workshop.
       arXiv:1412.6806, section 3.4.

    Examples
    --------
    >>> maps = ncam.attribution.guided_backprop(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "guided_backprop", n_steps=n_steps, **options)


def guided_grad_cam(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Multiply guided backpropagation by Grad-CAM where that is positive.

    The map of `grad_cam`, after its ReLU, is interpolated linearly between the centers of its cells and multiplied by
    that of `guided_backprop` [1]_. Defined for ReLU only.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`, ``layer`` of Grad-CAM among them.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit² per unit of input].

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Selvaraju et al. (2017). Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization.
       ICCV. arXiv:1610.02391, section 3.2.

    Examples
    --------
    >>> maps = ncam.attribution.guided_grad_cam(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "guided_grad_cam", n_steps=n_steps, **options)


def hires_cam(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Weight the activity of a layer by its gradient, position by position.

    Computes :math:`\sum_k \partial s / \partial A_k(y, x)\, A_k(y, x)` [1]_, before the ReLU that the authors apply.
    Where nothing behind the layer is nonlinear, its sum over positions is what is explained without the biases.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`, ``layer`` among them.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit], at the cells of the layer.

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Draelos and Carin (2020). Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural
       networks. arXiv:2011.08891, eq. 5.

    Examples
    --------
    >>> maps = ncam.attribution.hires_cam(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "hires_cam", n_steps=n_steps, **options)


def input_times_gradient(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Multiply the image by the gradient: what each pixel adds to what is explained, to first order.

    Computes :math:`x\, \partial s / \partial x` [1]_. In the rate network with plain ReLU the sum over pixels is the
    logit without the part of the biases; of measured activity also without what still sits in the membranes.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit].

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Shrikumar et al. (2016). Not Just a Black Box: Learning Important Features Through Propagating Activation
       Differences. arXiv:1605.01713.

    Examples
    --------
    >>> maps = ncam.attribution.input_times_gradient(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "input_times_gradient", n_steps=n_steps, **options)


def layer_cam(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Weight the activity of a layer by its gradient where that is positive, position by position.

    Computes :math:`\sum_k \max(\partial s / \partial A_k(y, x), 0)\, A_k(y, x)` [1]_, before the ReLU that the authors
    apply.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`, ``layer`` among them.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit], at the cells of the layer.

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Jiang et al. (2021). LayerCAM: Exploring Hierarchical Class Activation Maps for Localization. IEEE
       Transactions on Image Processing 30, eqs. 6 to 8.

    Examples
    --------
    >>> maps = ncam.attribution.layer_cam(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "layer_cam", n_steps=n_steps, **options)


def saliency(net: CAMNetwork, images: Images, *, n_steps: int, **options: Any) -> xr.Dataset:
    r"""Differentiate what is explained by the image: how it answers to small changes of each pixel.

    Computes :math:`\partial s / \partial x` [1]_, signed, where the authors take the largest magnitude over channels.
    Channels are added up. Nothing is conserved. On plateaus of constant input, such as an empty background, gates stay
    where rounding puts them, and the map does not settle: use `input_times_gradient` there.

    Parameters
    ----------
    net, images, n_steps
        As for `nengo_cam.attribute`.
    **options
        Further options of `nengo_cam.attribute`.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.attribute`; ``attribution`` [logit per unit of input].

    Raises
    ------
    CAMError
        As `nengo_cam.attribute`.

    References
    ----------
    .. [1] Simonyan, Vedaldi, Zisserman (2014). Deep Inside Convolutional Networks. ICLR workshop. arXiv:1312.6034,
       section 3.

    Examples
    --------
    >>> maps = ncam.attribution.saliency(net, images, n_steps=10, times=0.01, progress_bar=False)
    >>> maps.attribution.dims
    ('image', 'time', 'y', 'x')
    """
    return attribute(net, images, "saliency", n_steps=n_steps, **options)
