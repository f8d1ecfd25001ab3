"""Two operations of a frame module at the same time: which there are, which clause a race breaks."""
