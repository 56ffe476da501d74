"""Raw files, checked and turned into prepared datasets."""
