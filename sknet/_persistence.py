"""Saved models that know which version of sknet wrote them."""

import warnings

from sknet._version import __version__

STAMP = "_sknet_version"


class SknetVersionWarning(UserWarning):
    """A model is loaded by another version of sknet than the one that saved it."""

    __module__ = "sknet"  # where users find it


class VersionMixin:
    """Stamps what pickle, joblib, skops and copies take of an estimator."""

    def __getstate__(self):
        return {**super().__getstate__(), STAMP: __version__}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop(STAMP, None)
        if version != __version__:
            warnings.warn(
                f"This {type(self).__name__} was saved by "
                f"{f'sknet {version}' if version else 'an unknown version of sknet'} "
                f"and is loaded by sknet {__version__}, which may predict something "
                "else or nothing: load it with the version that saved it, or fit it "
                "again.",
                SknetVersionWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
