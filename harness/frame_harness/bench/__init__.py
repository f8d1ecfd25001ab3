"""Speeds, each as a ratio to a floor that is timed in the same run."""
