"""Set-up of the documentation: ``sphinx-build -W docs docs/_build``."""

import importlib.metadata
import operator
import pathlib
import re
import shutil
import sys

import numpydoc.xref

import nengo_cam

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))
nengo_cam.compat.quiet_tensorflow()

# -- The project

project = "nengo_cam"
author = "The nengo_cam developers"
project_copyright = author
version = release = nengo_cam.__version__

# -- Pages

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "notebook_times",
]
# myst-nb leaves the notebooks that it has run in jupyter_execute, beside the output.
exclude_patterns = ["_build", "_extensions", "_templates", "jupyter_execute"]
templates_path = ["_templates"]
# `name` in a docstring is a link where there is something to link to.
default_role = "py:obj"

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

# -- Reference

autosummary_generate = True
autosummary_imported_members = True
# Pages of names that are gone would stay, and be in no list.
_lists = "\n".join(page.read_text(encoding="utf-8") for page in (HERE / "api").glob("*.md"))
_listed = set(re.findall(r"^   ([\w.]+)$", _lists, flags=re.MULTILINE))
for _old in (HERE / "api" / "generated").glob("*.rst"):
    if _old.stem[len("nengo_cam.") :] not in _listed:
        _old.unlink()
# Names and defaults in a signature; types stand in the docstring, with shapes and units, and would be longer there.
autodoc_typehints = "none"
# On pages that show whole modules, each shows what it offers, wherever in the room that is written.
autodoc_default_options = {"members": True, "imported-members": True, "member-order": "groupwise"}
toc_object_entries_show_parents = "hide"
# `simulator=Simulator` instead of the address of a class.
autodoc_preserve_defaults = True
# Our own types and errors are links where a docstring names them; everything else is left as it is written: numpydoc's
# own list leads to the glossaries of Python and NumPy, which are not at hand.
numpydoc.xref.DEFAULT_LINKS.clear()
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    **{name: f"nengo_cam.{name}" for name in ("CAMHead", "CAMNetwork", "Report", "Verification")},
    **{name: f"nengo_cam.plotting.{name}" for name in nengo_cam.plotting.__all__ if name[0].isupper()},
    **{name: f"nengo_cam.exceptions.{name}" for name in nengo_cam.exceptions.__all__},
}
# The templates list the members.
numpydoc_show_class_members = False
add_module_names = False

# -- Notebooks: those of examples/, run from a clean kernel whenever they have changed

NOTEBOOKS = HERE / "notebooks"
NOTEBOOKS.mkdir(exist_ok=True)
_sources = {path.name: path for path in (HERE.parent / "examples").glob("*.ipynb")}
for _old in NOTEBOOKS.glob("*.ipynb"):
    if _old.name not in _sources:
        _old.unlink()
for _name, _path in _sources.items():
    # Left alone if it is the same, so that Sphinx does not read it again.
    if not (NOTEBOOKS / _name).exists() or (NOTEBOOKS / _name).read_bytes() != _path.read_bytes():
        shutil.copyfile(_path, NOTEBOOKS / _name)
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / ".jupyter_cache")
# As long as they take, on whatever machine: CI limits a cell by -D nb_execution_timeout, and a notebook by this one.
nb_execution_timeout = -1
notebook_seconds = 0
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# -- Look

html_theme = "pydata_sphinx_theme"
html_title = f"nengo_cam {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "nengo_cam"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "install": [], "gallery": [], "faq": [], "changes": []}
html_context = {"default_mode": "light", "sphinx_version": importlib.metadata.version("sphinx")}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


# -- What is shown already is left out: what users call has a page of its own, and is not among all that its module
# offers; the fields of a named tuple stand in its docstring, where Python calls them aliases

_shown = [operator.attrgetter(name)(nengo_cam) for name in _listed]


def _skip(app, what, name, obj, skip, options):
    if what == "module":
        return True if any(obj is one for one in _shown) else None
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app):
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", _skip)
