"""The jobs of the harness, each a list of calls to read aloud: a module for a verb, or for a few.

| module | verbs |
| --- | --- |
| ``check`` | check, run |
| ``compare`` | compare, gate |
| ``diff`` | diff, and compare for pictures |
| ``report`` | report |
| ``calibrate``, ``validate`` | calibrate, validate |
| ``baselines`` | all of baseline |
| ``doctor`` | doctor, selftest |
| ``list``, ``prune`` | list and runs list, runs prune |
| ``generate``, ``init``, ``open``, ``release`` | generate, init, open, release |

What verbs that run arms share is in ``arm_runs``, ``references`` and ``noise_floors``; ``progress`` is what a job says
while it works, ``concluding`` the sentence at its end. ``drafts`` writes the scenarios of init. ``closeness``,
``image_baselines`` and ``tables`` are for programs and tests.
"""
