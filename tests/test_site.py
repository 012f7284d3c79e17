"""The built site: links that lead somewhere, and what a reader does in a browser.

Needs ``python -m sphinx -W --keep-going -b html docs docs/_build/html`` first. Pictures
of the pages are left in ``docs/_build/screenshots``, to be looked at.
"""

import functools
import http.server
import os
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from sknet import TwoLayerClassifier

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "_build" / "html"
SCREENSHOTS = SITE.parent / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="the site has not been built"
)
MAIN_PAGES = [
    "index.html",
    "guide/index.html",
    "guide/settings.html",
    "guide/maths.html",
    "auto_examples/index.html",
    "auto_examples/plot_calibration.html",
    "auto_examples/plot_grid_search.html",
    "api.html",
    "api/sknet.TwoLayerClassifier.html",
    "from_mlpclassifier.html",
    "quality.html",
    "changelog.html",
]


# --- links, without a browser


class Page(HTMLParser):
    """What a page links to and loads, and the places that others can link to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        elif tag == "link" and "stylesheet" in attributes.get("rel", ""):
            self.loads.append(attributes["href"])
        elif tag in ("img", "script") and attributes.get("src"):
            self.loads.append(attributes["src"])


@pytest.fixture(scope="module")
def pages():
    """All pages of the site, by their path."""
    # those of _static are parts of the theme, and the others have been written anew
    files = [path for path in SITE.rglob("*.html") if "_static" not in path.parts]
    return {path: Page(path) for path in files}


def target(page, link):
    """File and place on it that a link of a page leads to; None outside the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    place = parts.fragment.partition(":~:")[0]  # what follows quotes the page's text
    return (path / "index.html" if path.is_dir() else path), unquote(place)


def test_the_site_has_all_main_pages(pages):
    assert {SITE / name for name in MAIN_PAGES} <= set(pages)


def test_every_link_inside_the_site_leads_somewhere(pages):
    broken, n_links = [], 0
    for page, content in pages.items():
        for link in content.links + content.loads:
            found = target(page, link)
            if found is None:
                continue
            n_links += 1
            path, place = found
            known = pages[path].ids if path in pages else {place}
            if not path.is_file() or (place and place not in known):
                broken.append(f"{page.relative_to(SITE)} -> {link}")
    assert n_links > 1000
    assert not broken


def test_a_table_in_the_gallery_links_within_the_site(pages):
    content = pages[SITE / "auto_examples" / "plot_categories.html"]
    quoting = [link for link in content.links if "#:~:text=" in link]
    ours = [link for link in quoting if "sknet." in link]
    assert {link.partition("#")[0] for link in ours} == {
        "../api/sknet.TwoLayerClassifier.html"
    }


def test_the_site_needs_no_network(pages):
    loaded = {load for content in pages.values() for load in content.loads}
    assert not [load for load in loaded if urlsplit(load).netloc]


# --- in a browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def address():
    """Address of the site, served from this process."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        root = hasattr(os, "geteuid") and os.geteuid() == 0
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if root else []
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(browser):
    """A tab that remembers errors of scripts and of what is loaded."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    # the search fetches what it found, and leaving for a result stops what is underway
    page.on(
        "requestfailed",
        lambda request: (
            request.failure == "net::ERR_ABORTED" or page.errors.append(request.url)
        ),
    )
    page.on(
        "response",
        lambda response: response.ok or page.errors.append(response.url),
    )
    yield page
    context.close()
    assert not page.errors


def photograph(tab, name, *, whole=False):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)


@pytest.mark.parametrize("page", MAIN_PAGES)
@pytest.mark.parametrize("width", [1280, 400], ids=["desktop", "phone"])
def test_page_opens_and_fits_into_the_window(tab, address, page, width):
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(address + page)
    assert tab.locator("h1").count() == 1
    name = page.removesuffix(".html").replace("/", "-")
    photograph(tab, f"{name}-{width}", whole=width == 1280)
    overflow = "document.documentElement.scrollWidth - window.innerWidth"
    assert tab.evaluate(overflow) <= 0, f"{page} is wider than a window of {width}"


def test_the_front_page_leads_to_the_main_pages(tab, address):
    tab.goto(address)
    header = tab.locator("header")
    for text in ("User guide", "Examples", "API"):
        header.get_by_role("link", name=text, exact=True).first.click()
        tab.wait_for_load_state()
        assert tab.locator("h1").inner_text().startswith(text)
    tab.goto(address)
    tab.locator(".sd-card", has_text="Coming from elsewhere").click()
    assert tab.locator("h1").inner_text().startswith("From MLPClassifier")


def test_search_finds_a_setting(tab, address):
    tab.goto(address)
    tab.locator(".search-button__button").first.click()
    field = tab.locator(
        "dialog input[type=search], .search-button__search-container input"
    )
    field.first.fill("store_oof_proba")
    field.first.press("Enter")
    tab.wait_for_selector("ul.search li a")
    found = tab.locator("ul.search li a").all_inner_texts()
    assert any("TwoLayerClassifier" in text or "fold" in text for text in found)
    photograph(tab, "search")


def test_search_finds_a_page_of_the_guide(tab, address):
    tab.goto(address + "search.html?q=imbalanced")
    tab.wait_for_selector("ul.search li a")
    tab.get_by_role("link", name="Imbalanced data").first.click()
    tab.wait_for_load_state()
    assert tab.locator("h1").inner_text().startswith("Imbalanced data")


def test_formulas_are_drawn(tab, address):
    tab.goto(address + "guide/maths.html")
    formulas = tab.locator("math[display=block]")
    assert formulas.count() > 10
    box = formulas.first.locator("mfrac").bounding_box()
    assert box["height"] > 1.5 * tab.locator("article p").first.evaluate(
        "p => parseFloat(getComputedStyle(p).fontSize)"
    )


def test_code_can_be_read_in_the_dark(tab, address):
    tab.emulate_media(color_scheme="dark")
    tab.goto(address + "auto_examples/plot_grid_search.html")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    photograph(tab, "dark")


@pytest.mark.parametrize("setting", ["hidden_layer_size", "class_weight", "beta_2"])
def test_links_of_the_table_find_the_line_of_the_setting(tab, address, setting):
    from sklearn.utils._repr_html import common

    page = urljoin(address, "api/sknet.TwoLayerClassifier.html")
    link = common.generate_link_to_param_doc(TwoLayerClassifier, setting, page)
    tab.goto(link)
    tab.wait_for_function("window.scrollY > 0")
    name = tab.locator("dt > strong").get_by_text(setting, exact=True).first
    assert 0 <= name.bounding_box()["y"] <= 900
