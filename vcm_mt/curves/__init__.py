"""Rate-performance points and what is computed from them, independent of any model."""
