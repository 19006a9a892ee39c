"""How well failures are put into clusters, on a labelled corpus: ``make bench-clusters``."""
