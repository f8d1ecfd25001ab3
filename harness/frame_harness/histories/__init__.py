"""Campaigns: a guest lives through a history while the whole of its memory is watched."""
