"""A score that gives more than there is."""

from harness.contracts import Scored

SPEC = "planted-generous:1"


def score(image, *, prompt, input_image):
    return Scored(value=1.5)
