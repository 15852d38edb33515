"""Measures Tollway beside its upstream hit directly and a plain nginx in the same run: ``python -m bench``."""
