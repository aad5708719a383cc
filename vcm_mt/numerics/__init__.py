"""Numerical kernels that several parts of the package share."""
