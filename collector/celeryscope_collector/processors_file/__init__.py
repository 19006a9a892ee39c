"""The YAML file that says which processors run, in which order, with which parameters (docs/processors.md)."""
