"""Names that may stand in the description of a model: what they mean neither runs code of a file nor reads other files.

What is not here is refused. Before a name is added, read its class: nothing in its options may be looked up by name,
opened or called, and making and calling it on symbolic tensors must allocate nothing but its variables.
"""

import re

from .. import operator_layers
from ..keras3 import operations

__all__ = [
    "ACTIVATIONS",
    "CONSTRAINTS",
    "FUNCTIONS",
    "FUNCTION_LAYERS",
    "INITIALIZERS",
    "LAYERS",
    "MODELS",
    "MODULES",
    "OPERATIONS",
    "OPERATIONS_MODULE",
    "POLICIES",
    "POLICY_NAMES",
    "REGULARIZERS",
]

MODELS = frozenset(("Functional", "Model", "Sequential"))
#: Layers that carry a function of TensorFlow, which runs when they are called, and the functions that they may carry.
FUNCTION_LAYERS = frozenset(("SlicingOpLambda", "TFOpLambda"))
FUNCTIONS = operator_layers.SYMBOLS
#: Functions of Keras 3; `nengo_cam.models.keras3` has its own list of them.
OPERATIONS = operations.OPERATIONS
OPERATIONS_MODULE = re.compile(r"keras\.src\.ops(\.\w+)*")


def _names(text):
    return frozenset(text.split())


LAYERS = (
    _names(
        """
        Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average BatchNormalization
        BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Dense Dot
        Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GroupNormalization GRUV2
        Identity InputLayer LSTM LSTMCell LSTMV2 LayerNormalization LeakyReLU Masking Maximum Minimum
        MultiHeadAttention Multiply Normalization PReLU Permute RNN ReLU RepeatVector Rescaling Reshape Resizing
        SimpleRNN SimpleRNNCell Softmax StackedRNNCells Subtract ThresholdedReLU TimeDistributed UnitNormalization
        """
    )
    | frozenset(f"{kind}Conv{n}D" for kind in ("Depthwise", "Separable") for n in (1, 2))
    | frozenset(f"Conv{n}D{suffix}" for n in (1, 2, 3) for suffix in ("", "Transpose"))
    | frozenset(f"Convolution{n}D{suffix}" for n in (1, 2, 3) for suffix in ("", "Transpose"))
    | frozenset(
        f"{scope}{kind}Pool{ing}{n}D"
        for scope in ("", "Global")
        for kind in ("Average", "Max", "Avg")
        for ing in ("ing", "")
        for n in (1, 2, 3)
    )
    | frozenset(
        f"{kind}{n}D" for kind in ("Cropping", "SpatialDropout", "UpSampling", "ZeroPadding") for n in (1, 2, 3)
    )
    | _names(
        """
        AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
        RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight
        RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness
        RandomShear RandomTranslation RandomWidth RandomZoom
        """
    )
)
ACTIVATIONS = _names(
    """
    elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax softplus
    softsign swish tanh
    """
)
#: Without underscores and capitals: Keras takes "GlorotUniform" and "glorot_uniform".
INITIALIZERS = _names(
    """
    constant glorotnormal glorotuniform henormal heuniform identity identityinitializer lecunnormal lecununiform ones
    one orthogonal randomnormal randomuniform truncatednormal variancescaling zeros zero
    """
)
REGULARIZERS = _names("l1 l1l2 l2 orthogonalregularizer")
CONSTRAINTS = _names("maxnorm minmaxnorm nonneg nonnegative radialconstraint unitnorm unitnormalization")
POLICIES = _names("DTypePolicy FloatDTypePolicy Policy QuantizedDTypePolicy QuantizedFloat8DTypePolicy")
POLICY_NAMES = re.compile(r"(mixed_)?b?float(16|32|64)|float8_\w+|u?int(8|16|32|64)|bool|_infer|int8_from_\w+")


def _modules(*parts):
    return re.compile(
        rf"(keras|tf_keras|tensorflow\.keras|tensorflow\.python\.keras)(\.src)?(\.({'|'.join(parts)})(\.\w+)*)?"
    )


#: Modules that names of each kind may be looked up in.
MODULES = {
    "layer": _modules("layers", "engine", "models"),
    "initializer": _modules("initializers"),
    "regularizer": _modules("regularizers"),
    "constraint": _modules("constraints"),
    "activation": re.compile(rf"builtins|{_modules('activations').pattern}"),
    "policy": _modules("mixed_precision", "dtype_policies"),
}
