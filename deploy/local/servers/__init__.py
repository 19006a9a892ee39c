"""Real Kafka, Elasticsearch, Redis and RabbitMQ on loopback, for demo, tests and work at the desk; no containers.

Needs Java 17, Maven (for the first download only), redis-server and rabbitmq-server. Each server lives in a folder of
its own and takes a free port unless it is told one::

    with Kafka(folder) as kafka:
        kafka.bootstrap_servers

A server that Python started ends with that Python process, however it ends; with ``detached=True`` it stays, and
another process finds it again through the same folder.
"""

from servers.elasticsearch import Elasticsearch
from servers.kafka import Kafka
from servers.process import Server
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis

__all__ = ["Elasticsearch", "Kafka", "RabbitMQ", "Redis", "Server"]
