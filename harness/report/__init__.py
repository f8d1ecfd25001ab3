"""How a verdict is shown to people and to programs."""
