"""What our services and commands share: settings, Kafka connections, logging, exit codes.

Never imported in a worker's task path: it needs the extras ``[collector]`` or ``[pipelines]`` (pydantic-settings).
"""
