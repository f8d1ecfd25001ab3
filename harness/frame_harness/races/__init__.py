"""Two operations on one slot, one of them held between two of its accesses while the other one runs."""
