"""Judges the memory orderings of compiled code."""
