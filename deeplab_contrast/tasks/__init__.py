"""The task of a training: a head and its losses."""
