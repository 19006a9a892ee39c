"""The OTLP service between the workers and Kafka."""
