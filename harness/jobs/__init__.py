"""The jobs of the harness, each a list of calls to read aloud: a module for a verb, called like it, or for a few.

What verbs that run arms share is in ``arm_runs``, ``references`` and ``noise_floors``; ``progress`` is what a job says
while it works, ``concluding`` the sentence at its end. ``drafts`` writes the scenarios of init. ``closeness``,
``image_baselines`` and ``tables`` are for programs and tests.
"""
