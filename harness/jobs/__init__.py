"""The jobs of the harness, each a list of calls to read aloud: a module for a verb, or for a few.

| module | verbs |
| --- | --- |
| ``check`` | check, run |
| ``compare`` | compare, gate |
| ``diff`` | diff, and compare for pictures |
| ``report`` | report |
| ``calibrate`` | calibrate, and what validate doubts |
| ``baselines`` | all of baseline |
| ``doctor`` | doctor, selftest |
| ``generate``, ``list``, ``init`` | generate, list, init |

What verbs that run arms share is in ``arm_runs`` and ``references``; ``progress`` is what a job says while it works.
"""
