"""Measures of a pair of pictures: one file each."""
