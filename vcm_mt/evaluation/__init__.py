"""Measuring what a codec costs and what a task network still sees: rates, curves, anchors."""
