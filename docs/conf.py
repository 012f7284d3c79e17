"""Sphinx settings of the site. The build needs no network."""

import sys
from pathlib import Path

import sknet

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))

# --- the project

project = "sknet"
author = "The sknet developers"
copyright = author
version = release = sknet.__version__

# --- what is read

extensions = [
    "docstrings",
    "front_page",
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples"]
templates_path = ["_templates"]
nitpicky = True
smartquotes = False
default_role = "literal"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# --- docstrings


def inherited(estimator):
    """Public methods that an estimator has from scikit-learn, and where they are shown.

    The latter is a class on scikit-learn's site. There, the ``set_..._request`` methods
    are shown with each estimator, so they lead to those of MLPClassifier.
    """
    ours = set()
    for base in estimator.__mro__:
        if base.__module__.startswith("sknet"):
            ours.update(vars(base))
    places = {
        "score": "sklearn.base.ClassifierMixin",
        "set_callbacks": "sklearn.callback.CallbackSupportMixin",
    }
    found = {}
    for name in dir(estimator):
        if name.endswith("_request"):
            found[name] = "sklearn.neural_network.MLPClassifier"
        elif name not in ours and not name.startswith("_"):
            found[name] = places.get(name, "sklearn.base.BaseEstimator")
    return found


autosummary_generate = True
autosummary_context = {"of_scikit_learn": inherited(sknet.TwoLayerClassifier)}
autodoc_typehints = "none"
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False

# --- references to other packages

# The files in inventories/ list the names that the pages link to, in version 1 of
# Sphinx's format. Each line has a name, its kind and its page. A reference to a name
# that is not listed is a warning, so add the name there.
SITES = {
    "matplotlib": "https://matplotlib.org/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "pandas": "https://pandas.pydata.org/docs/",
    "sklearn": "https://scikit-learn.org/stable/",
}
intersphinx_mapping = {
    name: (site, f"inventories/{name}.txt") for name, site in SITES.items()
}

# --- the gallery

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "subsection_order": ["examples/tables", "examples/models", "examples/training"],
    "within_subsection_order": "gallery.Order",
    "reset_modules": ("matplotlib", "gallery.strict"),
    "reset_modules_order": "both",
    "abort_on_example_error": True,
    "min_reported_time": 0,
    "write_computation_times": False,  # its table would be drawn by scripts of others
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "backreferences_dir": "api/examples",
    "doc_module": ("sknet",),
}

# --- the site

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
toc_object_entries_show_parents = "hide"
html_title = f"sknet {release}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["sknet.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": f"sknet {release}",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "sknet",
    },
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": ["version"],
    "secondary_sidebar_items": ["page-toc"],
}
# pages that stand alone: there is no section to navigate
html_sidebars = {name: [] for name in ("index", "quality", "search")}
