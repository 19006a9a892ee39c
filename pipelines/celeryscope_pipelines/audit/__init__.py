"""The account: whatever is in Kafka is found in Elasticsearch or among the dead letters, record by record."""
