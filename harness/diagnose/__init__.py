"""Saying what is wrong with a machine: look once, then judge what was seen; nothing is changed and nothing is run."""
