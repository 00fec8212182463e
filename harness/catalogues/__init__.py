"""Catalogues of the languages of reports, a folder for each language."""
