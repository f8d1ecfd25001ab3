"""The evidence of a run as a folder: its records, memory as files, writing and opening it."""
