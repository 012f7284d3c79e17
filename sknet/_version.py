"""The version, in one place: the build and the pickles read it here."""

__version__ = "0.2.0.dev0"
