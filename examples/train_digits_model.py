"""Train the small CNN that ships with nengo_cam, on the digits that ship with scikit-learn.

Five 3x3 convolutions with ReLU, global average pooling (GAP) and a Dense readout: the smallest kind of network that
class-activation maps can be read from. The same versions on the same kind of processor give the same weights.

    python examples/train_digits_model.py nengo_cam/data/digits_gap.h5
"""

import sys

import numpy as np

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()

EPOCHS = 60


def build_model():
    """Build the CNN, untrained."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((28, 28, 1), name="image"),
            *(
                layers.Conv2D(
                    channels, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{i}"
                )
                for i, channels in enumerate((16, 16, 32, 32, 64))
            ),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(10, activation="softmax", name="readout"),
        ],
        name="digits_gap",
    )


def shifted(images, rng, reach=3):
    """Move each image by a few pixels, so that the network does not learn where digits stand."""
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    corners = rng.integers(0, 2 * reach + 1, (len(images), 2))
    size = images.shape[1]
    return np.stack([image[y : y + size, x : x + size] for image, (y, x) in zip(padded, corners)])


def main(path):
    """Train and save."""
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(0)
    (images, classes), test = ncam.datasets.digits()
    model = build_model()
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * len(images) // 32))
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    for epoch in range(EPOCHS):
        history = model.fit(shifted(images, rng), classes, batch_size=32, verbose=0).history
        print(f"epoch {epoch + 1}: loss {history['loss'][0]:.4f}", flush=True)
    print(f"accuracy on test digits: {model.evaluate(*test, verbose=0)[1]:.4f}")
    model.save(path, include_optimizer=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
