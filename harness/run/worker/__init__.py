"""The child process that loads a model and makes pictures; the only place of the run act that imports torch."""
