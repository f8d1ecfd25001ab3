"""Holds guests for a person's debugger, and finds in recordings who wrote something."""
