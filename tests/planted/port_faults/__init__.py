"""Faults that ports of pipelines have had, and harmless changes, planted into the loaded embedded model.

Each is what another kernel, library or script does to a module or function. Configurations and attributes stay as they
are, because a port's own code is wrong, not its files.
"""
