"""The contract of a kernel's memory core: boot allocator, slots, zones and buddy allocator together."""
