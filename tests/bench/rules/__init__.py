"""What the alert rules cost Elasticsearch, when many attempts are there to look through."""
