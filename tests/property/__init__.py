"""Tests that hold for whatever input."""
