"""The indexer: Kafka -> documents -> Elasticsearch.

``batch`` messages with their positions, ``backlog`` what is not yet committed, ``transform`` messages to lines of bulk
requests, ``bulk`` these to Elasticsearch,
``clusters`` first and last seen of failures, ``pipeline`` one batch from decode to done, ``consumer`` polling and
committing, ``health`` metrics and probes over HTTP, ``build`` the wiring, ``service`` the process.
"""
