"""Programs for several CPUs: what they run, what must hold afterwards, in which turns."""
