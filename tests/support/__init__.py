"""What several test folders share: a stand-in for the collector that keeps what it is sent, and real workers."""
