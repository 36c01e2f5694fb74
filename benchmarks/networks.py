"""The networks that the benchmarks train: each is trained once and kept in a file.

five
    MNIST. Five 3x3 convolutions of 16-16-16-16-256 channels, GAP, Dense.
residual
    MNIST. A convolution, then six blocks of two convolutions beside a shortcut (16-16-32-32-64-64 channels, the
    third and the fifth with stride 2), BatchNorm after every convolution, GAP, Dense: fifteen convolutions, thirteen
    in a row.
resnet8, resnet20
    CIFAR-10, in color. The ResNets of He et al. (2016), Deep Residual Learning for Image Recognition, section 4.2, with
    one and with three blocks for each of the 16, 32 and 64 channels: 7 and 19 rectified layers in a row. Shortcuts
    that change shape are 1x1 convolutions; BatchNorm after every convolution.
"""

import numpy as np

import nengo_cam as ncam

tf = ncam.compat.import_tensorflow()


def five():
    """Build the plain CNN, untrained."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((28, 28, 1)),
            *(
                layers.Conv2D(
                    channels, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{i}"
                )
                for i, channels in enumerate((16, 16, 16, 16, 256))
            ),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(10, activation="softmax", name="readout"),
        ],
        name="mnist_gap",
    )


def _residual_network(shape, block_channels, name):
    """Build a residual CNN with a block for each number of channels, untrained."""
    layers = tf.keras.layers

    def convolution(x, channels, name, size=3, strides=1):
        x = layers.Conv2D(channels, size, strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    inputs = tf.keras.Input(shape)
    x = layers.ReLU(name="stem_relu")(convolution(inputs, block_channels[0], "stem"))
    for i, channels in enumerate(block_channels):
        strides = 2 if channels != x.shape[-1] else 1
        short = x if strides == 1 else convolution(x, channels, f"block{i}_short", 1, strides)
        x = layers.ReLU(name=f"block{i}_relu0")(convolution(x, channels, f"block{i}_conv0", strides=strides))
        x = layers.Add(name=f"block{i}_add")([convolution(x, channels, f"block{i}_conv1"), short])
        x = layers.ReLU(name=f"block{i}_relu1")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax", name="readout")(x), name=name)


def residual():
    """Build the residual CNN of MNIST, untrained."""
    return _residual_network((28, 28, 1), (16, 16, 32, 32, 64, 64), "mnist_residual")


def resnet8():
    """Build the small residual CNN of CIFAR-10, untrained."""
    return _residual_network((32, 32, 3), (16, 32, 64), "cifar_resnet8")


def resnet20():
    """Build the residual CNN of CIFAR-10, untrained."""
    return _residual_network((32, 32, 3), (16,) * 3 + (32,) * 3 + (64,) * 3, "cifar_resnet20")


def cifar10():
    """Load CIFAR-10 where Keras keeps it (downloaded once), as `nengo_cam.datasets.mnist` gives MNIST."""
    (train, train_classes), (test, test_classes) = tf.keras.datasets.cifar10.load_data()
    return tuple(
        (images.astype(np.float32) / 255, classes.ravel())
        for images, classes in ((train, train_classes), (test, test_classes))
    )


#: Builder and data of each network.
NETWORKS = {
    "five": (five, ncam.datasets.mnist),
    "residual": (residual, ncam.datasets.mnist),
    "resnet8": (resnet8, cifar10),
    "resnet20": (resnet20, cifar10),
}


def trained_model(build, path, train, epochs):
    """Load the CNN, or train and save it. Color images are mirrored and shifted by up to four pixels meanwhile."""
    if path.exists():
        return tf.keras.models.load_model(path)
    tf.keras.utils.set_random_seed(0)
    model = build()
    images, classes = train
    schedule = tf.keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(images) // 64)
    model.compile(tf.keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", ["accuracy"])
    if images.shape[-1] == 1:
        model.fit(images, classes, batch_size=64, epochs=epochs, verbose=2)
    else:
        model.fit(_varied(images, classes, batch_size=64), epochs=epochs, verbose=2)
    model.save(path)
    return model


def _varied(images, classes, batch_size):
    """Serve minibatches of mirrored and shifted images."""

    def vary(image, label):
        padded = tf.pad(image, ((4, 4), (4, 4), (0, 0)))
        return tf.image.random_flip_left_right(tf.image.random_crop(padded, image.shape)), label

    data = tf.data.Dataset.from_tensor_slices((images, classes)).shuffle(len(images), seed=0)
    return data.map(vary).batch(batch_size).prefetch(2)
