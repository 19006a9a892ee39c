"""The account: what workers wrote is found in Elasticsearch, among the dead letters, or dropped by a named reason."""
