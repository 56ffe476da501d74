"""Networks exported to files that do not need this package, and their use."""
