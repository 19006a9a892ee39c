"""From the spool to the collector: ``client`` posts one request, ``shipper`` reads, sends and commits."""
