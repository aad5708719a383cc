"""The documentation site: ``make docs``."""

from vcm_mt.version import __version__

project = "vcm_mt"
author = "the vcm_mt authors"
copyright = author  # noqa: A001
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["results/**", "_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

html_theme = "furo"
html_title = f"vcm_mt {release}"
html_show_sphinx = False
