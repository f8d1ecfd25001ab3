"""Makes mutants of a Rust module: where one can be made, which are the same program, how they are built."""
