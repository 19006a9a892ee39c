"""From Kafka into Elasticsearch, and the terminal views of what is there."""
