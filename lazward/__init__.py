"""Lazward: the open, self-hosted Azure Machine Learning."""

__version__ = "0.1.0"
