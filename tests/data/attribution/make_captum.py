"""Gradient methods of a small CNN as captum computes them: captum.npz, which tests compare with.

Run in an environment of its own, in which nothing of this package is needed::

    python3.9 -m venv env && env/bin/pip install torch==1.12.1 captum==0.6.0 "numpy<1.24"
    env/bin/python tests/data/attribution/make_captum.py

The file holds the weights in the order and layout of Keras, the images, the labels, and the results, channels last.
"""

import pathlib

import captum.attr
import numpy as np
import torch

torch.manual_seed(0)
rng = np.random.default_rng(0)
LABELS = [2, 0, 1]
#: Kernel shapes of Keras.
SHAPES = {"conv0": (3, 3, 2, 4), "conv1": (3, 3, 4, 6), "conv2": (3, 3, 6, 5), "readout": (5, 3)}


class Network(torch.nn.Module):
    """Three convolutions with ReLU, max pooling after the second so that layers differ in size, and a GAP head."""

    def __init__(self, weights):
        super().__init__()
        self.conv0, self.conv1, self.conv2 = (self.convolution(*weights[name]) for name in ("conv0", "conv1", "conv2"))
        # captum looks at what modules give out: one of its own for each ReLU.
        self.relu0, self.relu1, self.relu2 = torch.nn.ReLU(), torch.nn.ReLU(), torch.nn.ReLU()
        self.pool = torch.nn.MaxPool2d(2)
        kernel, bias = weights["readout"]
        self.readout = torch.nn.Linear(*kernel.shape)
        self.readout.weight.data, self.readout.bias.data = torch.tensor(kernel.T), torch.tensor(bias)

    @staticmethod
    def convolution(kernel, bias):
        layer = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
        layer.weight.data, layer.bias.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy()), torch.tensor(bias)
        return layer

    def forward(self, x):
        x = self.relu0(self.conv0(x))
        x = self.pool(self.relu1(self.conv1(x)))
        x = self.relu2(self.conv2(x))
        return self.readout(x.mean(dim=(2, 3)))


weights = {
    name: (
        rng.normal(0, 1.5 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32),
        rng.uniform(-0.2, 0.2, shape[-1:]).astype(np.float32),
    )
    for name, shape in SHAPES.items()
}
images = rng.normal(0.3, 1, (3, 12, 8, 2)).astype(np.float32)
network = Network(weights).eval()
x = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)
results = {"logits": network(x)}
attr = captum.attr
results["saliency"] = attr.Saliency(network).attribute(x, LABELS, abs=False)
results["input_times_gradient"] = attr.InputXGradient(network).attribute(x, LABELS)
results["guided_backprop"] = attr.GuidedBackprop(network).attribute(x, LABELS)
results["deconvnet"] = attr.Deconvolution(network).attribute(x, LABELS)
for name in ("conv0", "conv1", "conv2"):
    cam = attr.LayerGradCam(network, getattr(network, f"relu{name[-1]}"))
    results[f"grad_cam_{name}"] = cam.attribute(x, LABELS, relu_attributions=False)
# At the resolution of the input, where nothing is interpolated.
guided = attr.GuidedGradCam(network, network.relu1)
results["guided_grad_cam_conv1"] = guided.attribute(x, LABELS)
arrays = {name: value.detach().numpy() for name, value in results.items()}
arrays = {name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value for name, value in arrays.items()}
for name, (kernel, bias) in weights.items():
    arrays[f"kernel_{name}"], arrays[f"bias_{name}"] = kernel, bias
path = pathlib.Path(__file__).with_name("captum.npz")
np.savez_compressed(path, images=images, labels=LABELS, **arrays)
