"""Makes a run's archive from beginning to end, with its reports."""
