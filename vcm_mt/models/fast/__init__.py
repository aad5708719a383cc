"""Faster twins of layers of other libraries: the same parameters and the same values.

Each is opt-in. ``build_codec(..., fast=False)`` leaves CompressAI's own layers;
:class:`vcm_mt.models.tasks.MMDetTask` has a switch for each change of a frozen detector. Each twin
has a test against the original layer.
"""
