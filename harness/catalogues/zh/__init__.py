"""Simplified Chinese."""

NAME = "中文"
TAG = "zh-Hans"
