"""A package of somebody else: an adapter with options, a metric, a report format and a language."""
