"""A finished study as one page: gathered, drawn, written."""
