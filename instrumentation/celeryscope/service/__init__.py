"""What our services and commands share: settings, connections to Kafka and Elasticsearch, logging, exit codes.

Never imported in a worker's task path: it needs pydantic-settings, which the extras of services and Kibana bring.
"""
