"""General helpers: errors, files, locks, signals, tables."""
