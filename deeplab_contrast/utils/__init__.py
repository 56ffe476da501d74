"""What knows nothing of us: errors, files, locks, signals, tables."""
