"""Faults on purpose: adapters around the real one, each broken in one way, found through Python entry points."""
