"""Several devices and several processes that work together."""
