"""Checkpoints that the harness builds by itself, one folder each."""
