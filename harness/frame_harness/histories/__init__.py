"""Random histories of method calls, for any contract; what shortens any history that shows a fault."""
