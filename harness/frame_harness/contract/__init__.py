"""What a contract is made of: values in, values out, no clock, no process, no file."""
