"""Real images to try things on, and CNNs that know them.

`imagenet` has photographs and a MobileNet; `handwriting` scikit-learn's digits and MNIST, with a small CNN; `scenes`
digits scattered among clutter, with boxes. `event_camera` makes frames of events, and events of frames. What comes
with the package is in `shipped`.
"""

from .event_camera import event_frames, record_events
from .handwriting import digits, digits_model, mnist
from .imagenet import imagenet_labels, mobilenet, photographs
from .scenes import scattered_digits, scattered_digits_model

__all__ = [
    "digits",
    "digits_model",
    "event_frames",
    "imagenet_labels",
    "mnist",
    "mobilenet",
    "photographs",
    "record_events",
    "scattered_digits",
    "scattered_digits_model",
]
