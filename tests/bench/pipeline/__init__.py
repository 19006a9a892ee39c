"""What collector and indexer need for an item; ``make bench-pipeline``."""
