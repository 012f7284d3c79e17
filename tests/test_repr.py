"""The estimator as HTML: all settings, all fitted attributes, and links to our site."""

import re
import tomllib
import warnings
from email.message import Message
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import sklearn
from packaging.version import Version
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier, _documentation

ROOT = Path(__file__).resolve().parents[1]
SKLEARN = Version(Version(sklearn.__version__).base_version)
needs_1_8 = pytest.mark.skipif(
    Version("1.8") > SKLEARN, reason="settings have links since scikit-learn 1.8"
)
needs_1_9 = pytest.mark.skipif(
    Version("1.9") > SKLEARN, reason="attributes are shown since scikit-learn 1.9"
)


class Table(HTMLParser):
    """All links of a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.links = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])


def rows():
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, X[:, 0] > 0


def quick(**settings):
    settings = {"hidden_layer_size": 4, "max_iter": 3, "random_state": 0} | settings
    return TwoLayerClassifier(**settings)


def unfitted():
    return quick()


def fitted(**settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three epochs may have learnt nothing
        return quick(**settings).fit(*rows())


def streamed():
    X, y = rows()
    return quick().partial_fit(X, y, classes=[False, True])


def of_strings():
    X, y = rows()
    return quick(learning_rate_init=0.1).fit(X, np.where(y, "<yes>", "no & no"))


def changed():
    """Its settings do not belong to its weights."""
    return fitted().set_params(hidden_layer_size=9, solver="lbfgs")


STATES = {
    "unfitted": unfitted,
    "fitted": fitted,
    "one member": lambda: fitted(n_estimators=1),
    "not standardized": lambda: fitted(standardize=False),
    "L-BFGS": lambda: fitted(solver="lbfgs"),
    "out of fold": lambda: fitted(store_oof_proba=True),
    "a stream": streamed,
    "labels with markup": of_strings,
    "changed settings": changed,
    "invalid settings": lambda: quick(alpha="<b>", dropout=[1, 2], squash=np.ones(3)),
}


@pytest.fixture(params=STATES.values(), ids=STATES.keys())
def estimator(request):
    return request.param()


def test_html_is_made_in_every_state(estimator):
    html = estimator._repr_html_()
    for name in estimator.get_params():
        assert name in html


def test_no_property_raises_what_would_break_the_table(estimator):
    # scikit-learn reads every public name that ends in an underscore
    for name in dir(estimator):
        if name.endswith("_") and not name.startswith("_"):
            try:
                getattr(estimator, name)
            except AttributeError:
                assert name in {"coefs_", "intercepts_"}
                assert not estimator.__sklearn_is_fitted__()


def test_making_the_table_changes_nothing(estimator):
    before = dict(vars(estimator))
    estimator._repr_html_()
    assert set(vars(estimator)) == set(before)
    assert all(vars(estimator)[name] is value for name, value in before.items())


def test_in_a_pipeline_and_a_search():
    X, y = rows()
    pipeline = make_pipeline(StandardScaler(), quick())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(
            pipeline, {"twolayerclassifier__alpha": [0.0, 0.1]}, cv=2
        ).fit(X, y)
    for whole in (pipeline, search):
        links = Table(whole._repr_html_()).links
        assert [link for link in links if link.startswith(PAGE)]


@needs_1_9
def test_all_documented_attributes_are_in_the_table():
    html = fitted(store_oof_proba=True)._repr_html_()
    listed = html.partition("Fitted attributes")[2]
    section = TwoLayerClassifier.__doc__.partition("Attributes\n")[2]
    section = section.partition("References\n")[0]
    documented = re.findall(r"^    (\w+_) : ", section, re.M)
    assert len(documented) > 15
    missing = [
        name
        for name in documented
        if name != "feature_names_in_"  # X is an array
        and not re.search(rf">\s*{name}\s*<", listed)
    ]
    assert not missing


# --- links


BASE = "https://docs.test/sknet/"
PAGE = f"{BASE}api/sknet.TwoLayerClassifier.html"


@pytest.fixture(autouse=True)
def address(monkeypatch):
    """An address of the site, in the environment."""
    monkeypatch.setenv("SKNET_DOCS_URL", BASE)


@pytest.fixture
def project_url(monkeypatch):
    """Sets what the metadata name as documentation; None is an installation without."""

    def _set(address):
        found = Message()
        if address:
            found["Project-URL"] = "Source, https://source.test/"
            found["Project-URL"] = f"Documentation, {address}"
        monkeypatch.setattr(_documentation.metadata, "metadata", lambda name: found)
        _documentation.published_site.cache_clear()

    yield _set
    _documentation.published_site.cache_clear()


def test_no_address_of_the_project_is_a_placeholder():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for address in project.get("urls", {}).values():
        host = urlsplit(address).hostname
        assert not re.search(r"(^|\.)(example\.\w+|example|test|invalid)$", host)


@pytest.mark.parametrize("given", [BASE, BASE.rstrip("/")])
def test_the_environment_goes_before_the_metadata(monkeypatch, project_url, given):
    project_url("https://hosted.test/stable")
    monkeypatch.setenv("SKNET_DOCS_URL", given)
    assert _documentation.site() == BASE
    monkeypatch.setenv("SKNET_DOCS_URL", "")
    assert _documentation.site() == "https://hosted.test/stable/"


def test_without_an_address_there_is_no_link(monkeypatch, project_url):
    monkeypatch.delenv("SKNET_DOCS_URL")
    project_url(None)
    assert TwoLayerClassifier()._get_doc_link() == ""
    assert not Table(fitted()._repr_html_()).links


def test_the_table_links_to_the_page_of_the_class():
    assert TwoLayerClassifier()._get_doc_link() == PAGE
    assert PAGE in Table(TwoLayerClassifier()._repr_html_()).links


def test_no_link_leads_to_the_site_of_scikit_learn():
    links = Table(fitted()._repr_html_()).links
    assert links
    assert {link.partition("#")[0] for link in links} == {PAGE}


def linked_names(html):
    """Names after ``#:~:text=``, up to the comma: settings and attributes."""
    texts = [urlsplit(link).fragment for link in Table(html).links]
    quoted = [text.removeprefix(":~:text=") for text in texts if text]
    return [unquote(text.partition(",-")[0]) for text in quoted]


@needs_1_8
def test_every_setting_has_a_link_to_its_own_line():
    names = linked_names(TwoLayerClassifier()._repr_html_())
    assert sorted(names) == sorted(TwoLayerClassifier().get_params())


@needs_1_8
def test_a_link_quotes_the_line_of_the_docstring():
    html = TwoLayerClassifier()._repr_html_()
    quoted = [unquote(urlsplit(link).fragment) for link in Table(html).links]
    assert ":~:text=alpha,-float, default=0.01" in quoted


@needs_1_9
def test_every_attribute_has_a_link_to_its_own_line():
    clf = fitted()
    names = set(linked_names(clf._repr_html_()))
    shown = {name for name in vars(clf) if name.endswith("_") and name[0] != "_"}
    assert names - set(clf.get_params()) == shown | {"coefs_", "intercepts_"}


def test_a_class_of_someone_else_has_no_link_to_our_site():
    class Mine(TwoLayerClassifier):
        """Not ours."""

    assert Mine()._get_doc_link() == ""
    assert BASE not in Mine()._repr_html_()


def test_without_metadata_there_is_no_link(monkeypatch, project_url):
    def _missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delenv("SKNET_DOCS_URL")
    project_url(None)
    monkeypatch.setattr(_documentation.metadata, "metadata", _missing)
    assert TwoLayerClassifier()._get_doc_link() == ""
    assert "href" not in TwoLayerClassifier()._repr_html_()


def test_the_link_is_no_setting_and_is_not_saved():
    clf = clone(fitted())
    assert not [name for name in clf.__getstate__() if "doc_link" in name]
    assert not [name for name in clf.get_params() if "doc_link" in name]
