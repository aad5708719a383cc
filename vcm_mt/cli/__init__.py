"""One module per command of ``vcm-mt``: argument parsing and calls."""
