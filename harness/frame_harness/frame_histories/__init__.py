"""Random histories of a frame module, beside the reference model: generated, played, shortened, replayed."""
