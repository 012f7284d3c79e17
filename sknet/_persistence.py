"""Saved models that know which version of sknet wrote them, in which layout."""

import warnings

from sknet._version import __version__

STAMP = "_sknet_version"
LAYOUT_STAMP = "_sknet_layout"
LAYOUT = 2  # what fitted private arrays mean; another meaning needs another number


class SknetVersionWarning(UserWarning):
    """A model is loaded by another version of sknet than the one that saved it."""

    __module__ = "sknet"  # where users find it


class VersionMixin:
    """Stamps what pickle, joblib, skops and copies take of an estimator."""

    def __getstate__(self):
        stamps = {STAMP: __version__, LAYOUT_STAMP: LAYOUT}
        return {**super().__getstate__(), **stamps}

    def __setstate__(self, state):
        state = dict(state)
        version, layout = state.pop(STAMP, None), state.pop(LAYOUT_STAMP, None)
        if layout != LAYOUT and "classes_" in state:  # weights would be misread
            raise ValueError(
                f"This fitted {type(self).__name__} was saved by {_named(version)} in "
                f"layout {layout}; sknet {__version__} reads layout {LAYOUT}. Load it "
                "with the version that saved it, or fit it again."
            )
        if version != __version__:
            warnings.warn(
                f"This {type(self).__name__} was saved by {_named(version)} and is "
                f"loaded by sknet {__version__}, which may predict something else or "
                "nothing: load it with the version that saved it, or fit it again.",
                SknetVersionWarning,
                stacklevel=2,
            )
        super().__setstate__(state)


def _named(version):
    return f"sknet {version}" if version else "an unknown version of sknet"
