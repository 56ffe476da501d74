"""Cases that broke once, by the kind of input; tried before all others."""

CASES: dict[str, tuple] = {}
