"""What everything else stands on: errors, units, files, running slow commands."""
