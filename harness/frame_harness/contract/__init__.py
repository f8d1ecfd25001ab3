"""What a frame module promises: values in, values out, no clock, no process, no file."""
