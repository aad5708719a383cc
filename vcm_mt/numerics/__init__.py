"""Arithmetic that several rooms share; knows nothing of codecs."""
