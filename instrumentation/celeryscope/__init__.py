"""What workers and publishers install."""
