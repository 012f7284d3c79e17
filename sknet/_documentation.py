"""Where is a public class documented? The links in an estimator's HTML table.

They lead to the site at SKNET_DOCS_URL in the environment, else at the address in the
project's metadata. Without either there is no link.
"""

import functools
import re
from importlib import metadata
from os import environ

VARIABLE = "SKNET_DOCS_URL"


def site():
    """The address of the site, ending in a slash; empty if there is none."""
    address = environ.get(VARIABLE) or published_site()
    return address and address.rstrip("/") + "/"


@functools.cache
def published_site():
    """The address that pyproject.toml calls "Documentation", if it names one.

    Empty where sknet runs from a folder without having been installed.
    """
    try:
        urls = metadata.metadata("sknet").get_all("Project-URL", [])
    except metadata.PackageNotFoundError:
        return ""
    address = dict(re.split(r",\s*", url, maxsplit=1) for url in urls)
    return address.get("Documentation", "")


class DocumentationLinkMixin:
    """What scikit-learn asks an estimator of a third party for: a link of its own.

    It asks for the page only when a table is drawn; ``import sknet`` reads no metadata.
    """

    _doc_link_module = "sknet"
    _doc_link_template = "{page}"

    def _doc_link_url_param_generator(self):
        base, name = site(), type(self).__name__
        return {"page": f"{base}api/sknet.{name}.html" if base else ""}
