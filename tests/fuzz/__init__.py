"""The collector's pipeline under requests that nobody would send."""
