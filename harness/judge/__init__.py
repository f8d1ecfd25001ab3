"""From the evidence of a run to its findings and its verdict."""
