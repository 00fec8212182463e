"""English, which the code is written in and which needs no catalogue."""

NAME = "English"
TAG = "en"
