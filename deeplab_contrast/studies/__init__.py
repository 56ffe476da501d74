"""Several runs as one: recipes, studies, their costs and results."""
