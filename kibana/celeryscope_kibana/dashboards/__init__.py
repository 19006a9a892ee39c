"""The dashboards, one module each; every one begins with links to all others, which carry the filters along."""
