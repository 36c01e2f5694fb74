"""Speed of nengo_cam.Simulator beside SpikingJelly (multi-step mode) and snnTorch, on the same network, on CPU.

Five convolutions (16-16-16-16-256 channels) on 28 x 28, global average pooling, Dense; 4 images that stand still; 50
steps; integrate-and-fire neurons with reset by subtraction. Medians of ratios; all take turns in one process. Needs
PyTorch, spikingjelly and snntorch besides.

    python benchmarks/simulator_peers.py
"""

import statistics
import time

import numpy as np
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()

CHANNELS = (16, 16, 16, 16, 256)
N_IMAGES, N_STEPS, REPEATS = 4, 50, 7


def keras_model():
    """Build the network, with random weights."""
    tf.keras.utils.set_random_seed(0)
    x = inputs = tf.keras.Input((28, 28, 1))
    for n in CHANNELS:
        x = tf.keras.layers.Conv2D(n, 3, padding="same", activation="relu")(x)
    x = tf.keras.layers.Dense(10)(tf.keras.layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(inputs, x)


def torch_weights(model):
    """List kernels and biases of the convolutions and the readout, as PyTorch orders them."""
    weights = model.get_weights()
    return [torch.tensor(w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T) for w in weights]


def spikingjelly_run(model, images, scales):
    """Return a function that runs all steps in multi-step mode and gives the logits."""
    weights = torch_weights(model)
    modules, previous = [], 1.0
    for i, scale in enumerate(scales):
        conv = layer.Conv2d(weights[2 * i].shape[1], weights[2 * i].shape[0], 3, padding=1)
        # Spikes of unit height: the scale of the layer before is taken out of the weights, the own one put in.
        conv.weight.data, conv.bias.data = weights[2 * i] * scale / previous, weights[2 * i + 1] * scale
        modules += [conv, neuron.IFNode(v_threshold=1.0, v_reset=None)]
        previous = scale
    net = torch.nn.Sequential(*modules)
    functional.set_step_mode(net, "m")
    kernel, bias = weights[-2] / previous, weights[-1]
    frames = images[None].expand(N_STEPS, *images.shape)

    def run():
        functional.reset_net(net)
        with torch.inference_mode():
            return net(frames).mean((-2, -1)) @ kernel.T + bias

    return run


def snntorch_run(model, images, scales):
    """Return a function that loops over the steps and gives the logits."""
    weights = torch_weights(model)
    convolutions, neurons, previous = [], [], 1.0
    for i, scale in enumerate(scales):
        convolutions.append((weights[2 * i] * scale / previous, weights[2 * i + 1] * scale))
        neurons.append(snntorch.Leaky(beta=1.0, threshold=1.0, reset_mechanism="subtract"))
        previous = scale
    kernel, bias = weights[-2] / previous, weights[-1]

    def run():
        membranes, logits = [n.init_leaky() for n in neurons], []
        with torch.inference_mode():
            for _ in range(N_STEPS):
                x = images
                for i, ((w, b), n) in enumerate(zip(convolutions, neurons)):
                    x, membranes[i] = n(torch.nn.functional.conv2d(x, w, b, padding=1), membranes[i])
                logits.append(x.mean((-2, -1)) @ kernel.T + bias)
        return torch.stack(logits)

    return run


def main():
    """Print a line for each peer."""
    model = keras_model()
    images = np.random.default_rng(0).random((N_IMAGES, 28, 28, 1), dtype=np.float32)
    net = ncam.convert(model, calibrate_on=images)
    scales = [scale * 0.001 for scale in net.firing_rate_scales.values()]
    tensor = torch.tensor(images.transpose(0, 3, 1, 2).copy())
    with ncam.Simulator(net.net, minibatch_size=N_IMAGES, seed=0, progress_bar=False) as sim:

        def ours():
            sim.reset()
            chunks = sim.iter_steps(N_STEPS, {net.input: images.reshape(N_IMAGES, 1, -1)})
            return np.concatenate([chunk[net.logits] for chunk in chunks], axis=1)

        runs = {
            "nengo_cam": ours,
            "SpikingJelly": spikingjelly_run(model, tensor, scales),
            "snnTorch": snntorch_run(model, tensor, scales),
        }
        reference = ours().mean(1)
        for name, run in runs.items():
            mean = np.asarray(run()).mean(1 if name == "nengo_cam" else 0)
            print(f"{name}: mean logits correlate {np.corrcoef(mean.ravel(), reference.ravel())[0, 1]:.3f} with ours")
        seconds = {name: [] for name in runs}
        for _ in range(REPEATS):
            for name, run in runs.items():
                began = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - began)
    for name in ("SpikingJelly", "snnTorch"):
        ratio = statistics.median(theirs / own for theirs, own in zip(seconds[name], seconds["nengo_cam"]))
        print(f"{name} / nengo_cam: {ratio:.2f}   (goal >= 1.5 for the faster)")


if __name__ == "__main__":
    main()
