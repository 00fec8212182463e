"""A score that knows degrees: the mean level of a picture over the largest."""

from harness.contracts import Scored

SPEC = "planted-degrees:1"


def score(image, *, prompt, input_image):
    return Scored(value=float(image.mean()) / 255)
