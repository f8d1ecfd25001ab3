"""The storms of a frame module."""
