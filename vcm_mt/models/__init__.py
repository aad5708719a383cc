"""Transmitter, receivers, tasks, and the system that joins them."""
