"""Benchmarks that judge pictures elsewhere: how each wants its files laid out, and what it writes about them."""
