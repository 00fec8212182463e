"""Reading what workers measured for ``harness explain``, and saying where and why a candidate is wrong."""
