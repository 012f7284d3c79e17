"""What numpydoc is to do otherwise: an attribute is shown as the docstring has it.

numpydoc would replace the description of an attribute that is a property by the first
sentence of the property, and lose its shape.
"""

from numpydoc.docscrape_sphinx import SphinxDocString

_process_param = SphinxDocString._process_param


def _as_written(self, param, desc, fake_autosummary):
    return _process_param(self, param, desc, fake_autosummary=False)


def setup(app):
    """Put it in numpydoc's place."""
    SphinxDocString._process_param = _as_written
    return {"parallel_read_safe": True, "parallel_write_safe": True}
