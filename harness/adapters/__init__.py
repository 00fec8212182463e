"""Families of pipelines: one file each."""
