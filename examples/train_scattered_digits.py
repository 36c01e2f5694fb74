"""Train the small CNN on scattered digits that ships with nengo_cam, and see whether its maps point at the digits.

Each image shows one or two digits among distractors; the network learns which digits are there, never where. It says so
for each class by itself (a sigmoid), because a softmax would make the digits of one image compete. Small scenes come
first: in the mean over a large map a single digit hardly counts, and training finds it late. Takes about a minute. The
same versions on the same kind of processor give the same weights.

    python examples/train_scattered_digits.py nengo_cam/data/scattered_digits_gap.h5
"""

import sys

import numpy as np

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()

#: Size of the scenes [pixel], digits and distractors in them, number of scenes and of epochs, learning rate.
STAGES = (
    (28, (1,), 2, 4000, 12, 4e-3),
    (64, (1, 2), 6, 8000, 12, 2e-3),
)


def build_model(size):
    """Build the CNN, untrained; a cell of its features sees 23 x 23 pixels of the image."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((size, size, 1), name="image"),
            *(
                layers.Conv2D(
                    channels,
                    3,
                    strides=stride,
                    padding="same",
                    activation="relu",
                    kernel_initializer="he_normal",
                    name=f"conv{i}",
                )
                for i, (channels, stride) in enumerate([(12, 2), (16, 2), (28, 1), (40, 1)])
            ),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(10, activation="sigmoid", name="readout"),
        ],
        name="scattered_digits_gap",
    )


def scenes(size, digits_per_image, clutter, n):
    """Make scenes for training: images (N, size, size, 1) and whether each class is there (N, 10)."""
    parts = [
        ncam.datasets.scattered_digits(
            n // len(digits_per_image), split="train", size=size, digits_per_image=count, clutter=clutter, seed=count
        )
        for count in digits_per_image
    ]
    targets = [np.eye(10, dtype=np.float32)[labels].sum(axis=1) for _, labels, _ in parts]
    return np.concatenate([images for images, _, _ in parts]), np.concatenate(targets)


def pointing_accuracy(maps, labels, boxes):
    """Count how often the strongest cell of a label's map lies in the label's own box."""
    hits = []
    for scene, (its_labels, its_boxes) in enumerate(zip(labels, boxes)):
        for label, (y0, x0, y1, x1) in zip(its_labels, its_boxes):
            cam = maps.cam.sel(image=scene, label=label)
            strongest = cam.isel(cam.argmax(("y", "x")))
            hits.append(y0 <= strongest.y < y1 and x0 <= strongest.x < x1)
    return np.mean(hits)


def main(path):
    """Train, test and save."""
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    model = None
    for size, digits_per_image, clutter, n, n_epochs, rate in STAGES:
        images, targets = scenes(size, digits_per_image, clutter, n)
        smaller, model = model, build_model(size)
        if smaller is not None:
            # The same sums over positions: the larger the image, the less a digit counts in the mean.
            *weights, kernel, bias = smaller.get_weights()
            model.set_weights([*weights, kernel * (size / smaller.input_shape[1]) ** 2, bias])
        schedule = tf.keras.optimizers.schedules.CosineDecay(rate, n_epochs * len(images) // 32)
        model.compile(tf.keras.optimizers.Adam(schedule), "binary_crossentropy")
        for epoch in range(n_epochs):
            history = model.fit(images, targets, batch_size=32, verbose=0).history
            print(f"{size} pixels, epoch {epoch + 1}: loss {history['loss'][0]:.4f}", flush=True)
    images, labels, boxes = ncam.datasets.scattered_digits(200)
    maps = ncam.rate_cam(model, images)
    strongest = np.argsort(maps.logits.values, axis=1)[:, -2:]
    print(f"both digits named, on test digits: {np.mean(np.sort(labels) == np.sort(strongest)):.3f}")
    print(f"maps that point at their digit: {pointing_accuracy(maps, labels, boxes):.3f}")
    model.save(path, include_optimizer=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
