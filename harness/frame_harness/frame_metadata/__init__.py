"""The contract of a frame module: one slot of metadata for each 4 KiB frame of physical memory."""
