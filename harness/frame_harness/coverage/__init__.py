"""Which lines of a subject guests ran, without a change to their code."""
