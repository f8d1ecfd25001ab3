"""The tests that prove the harness, next to the suite that judges a subject."""
