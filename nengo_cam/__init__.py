"""Class-activation maps of spiking networks over time, for Nengo and NengoDL.

Importing this package is cheap: TensorFlow and Nengo load with the first name that needs them. What it offers stands in
``__init__.pyi``, where editors look.
"""

import lazy_loader as _lazy

from . import compat as _compat
from .version import __version__ as __version__

_compat.prepare()

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
