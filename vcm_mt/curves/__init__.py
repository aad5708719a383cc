"""Rate-performance points, and what is computed of them; knows no model."""
