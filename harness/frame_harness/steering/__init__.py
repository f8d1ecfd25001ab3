"""Histories that learn: kept for what they reach, varied, found faults told apart by their cause."""
