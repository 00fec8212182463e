"""Known causes of wrong modules: one file for each, a change of the formula that the module ought to compute."""
