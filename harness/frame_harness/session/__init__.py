"""A pytest session that judges: plug-in, runs, results, witnesses."""
