"""Klingon, as far as this test needs it."""

NAME = "tlhIngan Hol"
TAG = "tlh"
