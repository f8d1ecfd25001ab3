"""Talks with the kernel in the guest over its serial console."""
