"""Judge the frame module of a kernel against its contract."""
