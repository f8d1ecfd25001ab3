"""Reads the memory orderings of compiled code and judges them."""
