"""The jobs of the harness, each a list of calls to read aloud: a module for a verb, or for a few.

| module | verbs |
| --- | --- |
| ``checking`` | check, run |
| ``comparing`` | compare, gate |
| ``pictures`` | diff, and compare for pictures |
| ``reporting`` | report |
| ``calibrating`` | calibrate, and what validate doubts |
| ``baselines`` | all of baseline |
| ``examining`` | doctor, selftest |
| ``generating``, ``listing``, ``starting`` | generate, list, init |

What verbs that run arms share is in ``making`` and ``references``; ``telling`` is what a job says while it works.
"""
