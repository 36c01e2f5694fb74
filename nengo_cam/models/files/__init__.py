"""Keras models and images in files, read without running what a stranger may have put into them.

`keras_model` and `image_files` say what a file becomes. A model is never opened by Keras: its description is checked
against a list of what may stand in it (`configuration`, `calls`, `allowed`), the model is built from what was checked
while its size is watched (`guard`), and gets its weights from an HDF5 file that was checked, too (`hdf5`). `archives`,
`arrays`, `pictures` and `texts` read the other formats; `limits` says how much of them.
"""

from . import pictures
from .image_files import load_images
from .keras_model import load_keras_model
from .pictures import picture_size
from .texts import read_names

__all__ = ["PICTURE_SUFFIXES", "load_images", "load_keras_model", "picture_size", "read_names"]

#: Suffixes of pictures that are read.
PICTURE_SUFFIXES = pictures.PICTURE_SUFFIXES
