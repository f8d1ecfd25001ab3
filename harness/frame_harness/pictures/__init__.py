"""Pictures of findings as SVG: values in, markup out."""
