"""Comparing: stored runs become measurements, measurements become verdicts; nothing is run here."""
