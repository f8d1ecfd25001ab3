"""Judges mutants of a subject: which bugs in it would nobody notice."""
