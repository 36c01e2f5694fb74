import nengo
import nengo_dl
import numpy as np

import nengo_cam as ncam
from nengo_cam import layer_converters
from nengo_cam.compat import without_gpu_advice


def pooling_of(net, size):
    (connection,) = [
        c for c in net.all_connections if isinstance(c.transform, nengo.Convolution) and c.size_out == size
    ]
    return connection.transform


def test_pooling_equals_nengo_dls_own(small_model, images):
    reduced = ncam.inference_model(small_model)
    own = nengo_dl.Converter(reduced)
    with layer_converters.registered():
        ours = nengo_dl.Converter(reduced)
    np.testing.assert_array_equal(pooling_of(ours.net, 5).init, pooling_of(own.net, 5).init)
    outputs = []
    for converter in (own, ours):
        (node,), (probe,) = converter.inputs.values(), converter.outputs.values()
        with without_gpu_advice(), nengo_dl.Simulator(converter.net, minibatch_size=5, progress_bar=False) as sim:
            outputs.append(sim.predict({node: images.reshape(5, 1, -1)}, verbose=0)[probe])
    np.testing.assert_array_equal(*outputs)


def test_all_positions_share_one_identity(small_model):
    net = ncam.convert(small_model)
    kernel = pooling_of(net.net, 5).init
    assert kernel.shape == (8, 6, 5, 5)
    assert kernel.strides[:2] == (0, 0)
    assert not kernel.flags.writeable


def test_nengo_dls_registry_is_put_back(tf):
    layer = tf.keras.layers.GlobalAveragePooling2D
    before = nengo_dl.Converter.converters[layer]
    with layer_converters.registered():
        assert nengo_dl.Converter.converters[layer] is not before
    assert nengo_dl.Converter.converters[layer] is before
