"""A guest with a frame module in it: its functions, its tables, the state that invariants judge."""
