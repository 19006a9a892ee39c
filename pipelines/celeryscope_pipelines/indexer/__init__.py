"""The indexer: Kafka -> documents -> Elasticsearch.

``batch`` messages with their positions, ``transform`` messages to writes, ``bulk`` writes to Elasticsearch,
``clusters`` first and last seen of failures, ``pipeline`` one batch from decode to done, ``consumer`` polling and
committing, ``health`` metrics and probes over HTTP, ``build`` the wiring, ``service`` the process.
"""
