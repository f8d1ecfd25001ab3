"""One engine for all long work: tasks on the cores of this machine, or on those of many."""
