"""A network as a file that needs no code of ours, and its use."""
