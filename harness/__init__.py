"""Accuracy and determinism validation for image-generation pipelines on accelerators."""

__version__ = "0.1.0"
