"""Reading YAML files that people write: every value with its place, every problem with its line, all at once."""
