"""Takes what the guests of a failing check leave into an archive."""
