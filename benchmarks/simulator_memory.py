"""Peak memory of streaming with nengo_cam.simulator.Simulator: over the number of steps, and beside NengoDL.

Each run is a process of its own; its peak is that of the operating system's books, the result (maps and logits) aside.
The net has five convolutions (16-16-16-16-256 channels) on 28 x 28, global average pooling and ten labels; 4 images.
NengoDL runs it as nengo_cam.convert makes it, and as its own converter does.

    python benchmarks/simulator_memory.py
"""

import json
import subprocess
import sys

RUN = """
import json, resource, sys
import numpy as np
import nengo_cam as ncam
ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()
nengo_dl = ncam.compat.import_nengo_dl()

which, n_steps = sys.argv[1], int(sys.argv[2])
tf.keras.utils.set_random_seed(0)
layers = tf.keras.layers
x = inputs = tf.keras.Input((28, 28, 1))
for channels in (16, 16, 16, 16, 256):
    x = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
model = tf.keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
images = np.random.default_rng(0).random((4, 28, 28, 1), dtype=np.float32)
if which == "by itself":
    import nengo
    neurons = {nengo.RectifiedLinear(): ncam.IntegrateAndFire()}
    model = tf.keras.Model(inputs, model.outputs)
    converter = nengo_dl.Converter(model, swap_activations=neurons, scale_firing_rates=200, inference_only=True)
    net, (node,) = converter.net, converter.inputs.values()
    with net:
        nengo.Probe(converter.layers[x])
else:
    converted = ncam.convert(model, calibrate_on=images)
    net, node = converted.net, converted.input
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = 0
if which == "ours":
    result = ncam.spiking_cam(converted, images, n_steps=n_steps, seed=0, progress_bar=False).nbytes
else:
    with nengo_dl.Simulator(net, minibatch_size=4, progress_bar=False) as sim:
        sim.run_steps(n_steps, data={node: np.repeat(images.reshape(4, 1, -1), n_steps, axis=1)})
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"peak": peak * 1024 - result, "before": before * 1024}))
"""


def measure(which, n_steps):
    """Run in a fresh process; return its peak and what was taken before the simulator was made [bytes]."""
    command = [sys.executable, "-c", RUN, which, str(n_steps)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured = json.loads(out.splitlines()[-1])
    return measured["peak"], measured["before"]


def main():
    """Print peaks and their ratios."""
    (few, before), (many, _), (theirs, _) = measure("ours", 100), measure("ours", 1000), measure("nengo_dl", 50)
    by_itself, _ = measure("by itself", 50)
    mib = 2**20
    print(f"before a simulator is made  {before / mib:6.0f} MiB")
    print(f"ours, streamed, 100 steps   {few / mib:6.0f} MiB")
    print(f"ours, streamed, 1000 steps  {many / mib:6.0f} MiB, ratio {many / few:.3f} (goal <= 1.15)")
    print(f"NengoDL, recorded, 50 steps {theirs / mib:6.0f} MiB, ours / NengoDL {few / theirs:.3f}")
    print(
        f"the same, converted by it   {by_itself / mib:6.0f} MiB, ours / NengoDL {few / by_itself:.3f} (goal <= 0.35)"
    )
    print(f"the first of these, above what was taken before: {(few - before) / (theirs - before):.3f}")


if __name__ == "__main__":
    main()
