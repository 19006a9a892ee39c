"""Stacks of tasks that run too long: taken from outside in a prefork pool, from inside in the others."""
