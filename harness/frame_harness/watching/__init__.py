"""Stays beside an editor: judges a subject again on each save, and tells what changed."""
