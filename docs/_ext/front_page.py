"""Draw the picture of the front page with the code that is shown beside it."""

import contextlib
import os
import re
import tempfile
from pathlib import Path

PICTURE = Path("auto_examples", "images", "front_page.png")


def _draw(app):
    """Run the blocks of index.md, and keep the figure of the display."""
    folder = Path(app.srcdir)
    text = (folder / "index.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    names = {}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            with contextlib.redirect_stdout(None):
                exec("\n".join(blocks), names)
        finally:
            os.chdir(before)
    picture = folder / PICTURE
    picture.parent.mkdir(parents=True, exist_ok=True)
    names["display"].figure_.savefig(picture, dpi=150)


def setup(app):
    """Draw after the gallery has made its folder."""
    app.connect("builder-inited", _draw, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
