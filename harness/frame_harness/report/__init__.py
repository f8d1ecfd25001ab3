"""How a verdict is shown to people or to programs."""
