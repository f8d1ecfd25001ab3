"""What the frame module's contract asks of memory orderings."""
