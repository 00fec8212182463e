"""Scores of one picture by what it was asked to show, without a reference; one file each, named as the score is."""
