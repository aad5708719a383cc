"""The version, apart from the package so that setup.cfg reads it without importing that."""

__version__ = "0.2.0"
