"""Make ``zennit.npz``: relevance of small networks by zennit, in double precision.

In an environment of its own: ``pip install torch torchvision zennit==0.5.1``, then ``python make_zennit.py``.
Arrays are in the order of Keras: channels last, kernels (rows, columns, in, out).
"""

import pathlib

import numpy as np
import torch
from zennit.composites import LayerMapComposite, SpecialFirstLayerMapComposite, layer_map_base
from zennit.layer import Sum
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from zennit.types import Convolution, Linear

# Small enough to leave the formulas as they are published; its default of 1e-6 shows beside small currents.
EXACT = {"stabilizer": 1e-12}
NO_BIAS = {"zero_params": "bias", **EXACT}
BASE = layer_map_base(**EXACT)
#: What each name stands for is said once more in the test, in the words of this package.
RULES = {
    "epsilon 1e-6": Epsilon(1e-6),
    "epsilon .1": Epsilon(0.1),
    "gamma .25": Gamma(0.25, **EXACT),
    "z+": ZPlus(**EXACT),
    "z+ without bias": ZPlus(**NO_BIAS),
    "alpha 2 beta 1": AlphaBeta(2, 1, **EXACT),
    "alpha 2 beta 1 without bias": AlphaBeta(2, 1, **NO_BIAS),
    "alpha 1 beta 0": AlphaBeta(1, 0, **EXACT),
    "w squared": WSquare(**NO_BIAS),
    "w squared with bias": WSquare(**EXACT),
    "flat": Flat(**EXACT),
}


def composites():
    for name, rule in RULES.items():
        yield name, LayerMapComposite([*BASE, (Linear, rule)])
    for name, bias in (("EpsilonPlus", NO_BIAS), ("EpsilonPlus with bias", EXACT)):
        body = [*BASE, (Convolution, ZPlus(**bias)), (torch.nn.Linear, Epsilon(1e-6))]
        yield name, LayerMapComposite(body)
        yield name.replace("Plus", "PlusFlat"), SpecialFirstLayerMapComposite(body, [(Linear, Flat(**EXACT))])
    body = [*BASE, (Convolution, Gamma(0.25, **EXACT)), (torch.nn.Linear, Epsilon(1e-6))]
    yield "EpsilonGammaBox", SpecialFirstLayerMapComposite(body, [(Convolution, ZBox(-4.0, 4.0, **EXACT))])
    body = [*BASE, (Linear, ZPlus(**NO_BIAS))]
    yield "DeepTaylor", LayerMapComposite(body)
    yield "DeepTaylor, bounded", SpecialFirstLayerMapComposite(body, [(Linear, ZBox(-4.0, 4.0, **EXACT))])


class Plain(torch.nn.Module):
    """Convolution, average pooling, depthwise convolution, global average pooling, readout."""

    def __init__(self):
        super().__init__()
        self.conv0 = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.relu0 = torch.nn.ReLU()
        self.pool = torch.nn.AvgPool2d(2)
        self.deep = torch.nn.Conv2d(4, 8, 3, padding=1, groups=4)
        self.relu1 = torch.nn.ReLU()
        self.gap = torch.nn.AvgPool2d((3, 4))
        self.flatten = torch.nn.Flatten()
        self.readout = torch.nn.Linear(8, 3)

    def forward(self, x):
        x = self.relu1(self.deep(self.pool(self.relu0(self.conv0(x)))))
        return self.readout(self.flatten(self.gap(x)))


class Residual(torch.nn.Module):
    """A sum of a rectified and a signed branch, max pooling, a stride, global average pooling, readout."""

    def __init__(self):
        super().__init__()
        self.conv0 = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.relu0 = torch.nn.ReLU()
        self.conv1 = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.relu1 = torch.nn.ReLU()
        self.conv2 = torch.nn.Conv2d(4, 4, 1)
        self.sum = Sum()
        self.relu2 = torch.nn.ReLU()
        self.pool = torch.nn.MaxPool2d(2)
        self.conv3 = torch.nn.Conv2d(4, 5, 3)
        self.relu3 = torch.nn.ReLU()
        self.gap = torch.nn.AvgPool2d((1, 2))
        self.flatten = torch.nn.Flatten()
        self.readout = torch.nn.Linear(5, 3)

    def forward(self, x):
        x = self.relu0(self.conv0(x))
        y = self.conv2(self.relu1(self.conv1(x)))
        x = self.relu2(self.sum(torch.stack([x, y], dim=-1)))
        x = self.relu3(self.conv3(self.pool(x)))
        return self.readout(self.flatten(self.gap(x)))


def relevance(model, composite, x, label):
    x = torch.tensor(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    with composite.context(model) as changed:
        logits = changed(x)
        start = torch.zeros_like(logits)
        start[:, label] = logits.detach()[:, label]
        (found,) = torch.autograd.grad(logits, x, start)
    return logits.detach().numpy(), found.detach().numpy().transpose(0, 2, 3, 1)


def main():
    arrays = {}
    rng = np.random.default_rng(0)
    signed = rng.normal(0.3, 1, (2, 6, 8, 2)).clip(-4, 4)
    inputs = {"signed": signed.astype(np.float32), "positive": np.abs(signed).astype(np.float32)}
    arrays.update({f"images/{name}": images for name, images in inputs.items()})
    for network in (Plain, Residual):
        model, known = network().double(), network.__name__.lower()
        for name, layer in model.named_children():
            if not isinstance(layer, Linear):
                continue
            shape = layer.weight.shape
            kernel = rng.normal(0.05, 1, shape) / np.sqrt(np.prod(shape[1:]))
            kernel, bias = kernel.astype(np.float32), rng.normal(0, 0.2, shape[0]).astype(np.float32)
            layer.weight.data, layer.bias.data = torch.tensor(kernel).double(), torch.tensor(bias).double()
            if name == "deep":
                # (in times multiplier, 1, rows, columns) to (rows, columns, in, multiplier).
                kernel = kernel[:, 0].transpose(1, 2, 0).reshape(3, 3, 4, 2)
            else:
                kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
            arrays[f"{known}/{name}/kernel"], arrays[f"{known}/{name}/bias"] = kernel, bias
        for kind, images in inputs.items():
            for name, composite in composites():
                logits, found = relevance(model, composite, images.astype(float), label=1)
                arrays[f"{known}/{kind}/{name}"] = found.astype(np.float32)
            arrays[f"{known}/{kind}/logits"] = logits
    np.savez_compressed(pathlib.Path(__file__).with_name("zennit.npz"), **arrays)


if __name__ == "__main__":
    main()
