"""Kernels, modules, programs that must not pass."""
