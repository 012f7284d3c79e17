"""Check the built site: its links, and in Chromium what a reader does.

Build it first (see CONTRIBUTING.md), then run ``python docs/check_site.py``. It prints
what is wrong and exits with 1, or with 0 if all is well. Pictures of each page, wide
and narrow, light and dark, are left in ``docs/_build/screenshots``, to be looked at.
Without Chromium, or without playwright, only the links are checked, and a note says so.
"""

import functools
import http.server
import itertools
import os
import re
import shutil
import sys
import threading
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SITE = Path(__file__).resolve().parent / "_build" / "html"
SCREENSHOTS = SITE.parent / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1400, 390)  # pixels of a desktop and of a phone
# texts that end beyond the window, apart from those that scroll and links of headings
CUT_OFF = """() => {
    const apart = ["pre", "math", ".pst-scrollable-table-container", ".output_html"]
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    const place = document.createRange(), found = []
    while (texts.nextNode()) {
        const text = texts.currentNode, box = text.parentElement
        place.selectNodeContents(text)
        if (box.closest("article, .prev-next-area") &&
            !box.closest([".headerlink", ...apart].join()) &&
            place.getBoundingClientRect().right > window.innerWidth + 1)
            found.push(text.data)
    }
    return found
}"""


# --- links, without a browser


class Page(HTMLParser):
    """What a page links to and loads, and the places that others can link to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        """Note the links and names of one element."""
        attributes = dict(attributes)
        self.ids.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        elif tag == "link" and "stylesheet" in attributes.get("rel", ""):
            self.loads.append(attributes["href"])
        elif tag in ("img", "script") and attributes.get("src"):
            self.loads.append(attributes["src"])


def target(page, link):
    """File and place on it that a link of a page leads to; None outside the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    place = parts.fragment.partition(":~:")[0]  # what follows quotes the page's text
    return (path / "index.html" if path.is_dir() else path), unquote(place)


def pages_of_the_site():
    """Files of all pages, in order. Those in _static are parts of the theme."""
    return sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)


def faults_of_links():
    """Broken links, and what is loaded from elsewhere."""
    pages = {path: Page(path) for path in pages_of_the_site()}
    n_links = 0
    for page, content in pages.items():
        name = page.relative_to(SITE)
        for link in content.links + content.loads:
            found = target(page, link)
            if found is None:
                continue
            n_links += 1
            path, place = found
            known = pages[path].ids if path in pages else {place}
            if not path.is_file() or (place and place not in known):
                yield f"{name}: the link {link} leads nowhere"
        for load in content.loads:
            if urlsplit(load).netloc:
                yield f"{name} needs the network for {load}"
    if n_links < 1000:
        yield f"only {n_links} links were found"


# --- in a browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that writes no line for each request."""

    def log_message(self, *args):
        """Say nothing."""


@contextmanager
def served():
    """The address of the site, served from this process."""
    handler = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(browser):
    """A tab, and the list of errors of its scripts and of what it loads."""
    context, errors = browser.new_context(viewport={"width": 1280, "height": 900}), []
    tab = context.new_page()

    def note_failure(request):
        """A request that ends because the tab leaves the page is no error."""
        if request.failure != "net::ERR_ABORTED":
            errors.append(f"{request.url}: {request.failure}")

    def note_status(response):
        if response.status >= 400:
            errors.append(f"{response.url}: status {response.status}")

    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("requestfailed", note_failure)
    tab.on("response", note_status)
    try:
        yield tab, errors
    finally:
        context.close()


def photograph(tab, name):
    """Leave a picture of the whole page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def heading(tab):
    """The text of the only first-level heading."""
    tab.wait_for_load_state()
    return tab.locator("h1").inner_text()


def check_pages(tab, address):
    """Each page opens, has one heading, fits the window and follows light and dark."""
    for path in pages_of_the_site():
        page = path.relative_to(SITE).as_posix()
        name = page.removesuffix(".html").replace("/", "-")
        for width, scheme in itertools.product(WIDTHS, ("light", "dark")):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=scheme)
            tab.goto(address + page)
            assert tab.locator("h1").count() == 1, f"{page} should have one heading"
            overflow = "document.documentElement.scrollWidth - window.innerWidth"
            assert tab.evaluate(overflow) <= 0, f"{page} is wider than {width} pixels"
            cut = tab.evaluate(CUT_OFF)
            assert not cut, f"{page} cuts off {cut} in a window of {width} pixels"
            theme = tab.evaluate("document.documentElement.dataset.theme")
            assert theme == scheme, f"{page} is {theme} for readers who want {scheme}"
            photograph(tab, f"{name}-{width}-{scheme}")


def check_front_page(tab, address):
    """The front page leads to the main pages."""
    for text in ("User guide", "Examples", "API"):
        tab.goto(address)
        links = tab.locator("header").get_by_role("link", name=text, exact=True)
        links.first.click()
        assert heading(tab).startswith(text)
    tab.goto(address)
    tab.locator(".sd-card", has_text="Coming from elsewhere").click()
    assert heading(tab).startswith("From MLPClassifier")


def check_search(tab, address):
    """The search finds a setting and a page of the guide."""
    tab.goto(address)
    tab.locator(".search-button__button").first.click()
    field = tab.locator(
        "dialog input[type=search], .search-button__search-container input"
    )
    field.first.fill("store_oof_proba")
    field.first.press("Enter")
    results = tab.locator("ul.search li a")  # they appear one after the other
    results.filter(has_text=re.compile("TwoLayerClassifier|fold")).first.wait_for()
    photograph(tab, "search")
    tab.goto(address + "search.html?q=threshold")
    tab.wait_for_selector("ul.search li a")
    tab.get_by_role("link", name="Calibration and thresholds").first.click()
    assert heading(tab).startswith("Calibration and thresholds")


def check_formulas(tab, address):
    """Formulas are drawn: a fraction is higher than a line of text."""
    tab.goto(address + "guide/maths.html")
    formulas = tab.locator("math[display=block]")
    assert formulas.count() > 5, "the page of formulas has few of them"
    box = tab.locator("math[display=block] mfrac").first.bounding_box()
    size = "p => parseFloat(getComputedStyle(p).fontSize)"
    assert box["height"] > 1.5 * tab.locator("article p").first.evaluate(size)


CHECKS = [check_pages, check_front_page, check_search, check_formulas]


def faults_in_a_browser():
    """What goes wrong in Chromium."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("Note: Chromium or playwright is missing. Browser checks are skipped.")
        return
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    options = {"args": ["--no-sandbox"] if root else []}
    with sync_playwright() as started, served() as address:
        browser = started.chromium.launch(executable_path=chromium, **options)
        for check in CHECKS:
            with opened(browser) as (tab, errors):
                try:
                    check(tab, address)
                except (AssertionError, Error) as error:
                    errors.append(str(error) or "it is not so")
            yield from (f"{check.__doc__} But: {error}" for error in errors)
        browser.close()


def main():
    """Print all faults; the exit status."""
    if not (SITE / "index.html").is_file():
        print(f"There is no site in {SITE}. Build it first.")
        return 1
    faults = [*faults_of_links(), *faults_in_a_browser()]
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"The site has {len(faults)} faults." if faults else "No faults were found.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
