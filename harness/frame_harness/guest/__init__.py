"""One booted guest: its console commands, its memory, how it ended."""
