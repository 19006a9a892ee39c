"""The spool: telemetry on local disk until the collector has it.

``format`` frames and segments, ``writer`` one process writing its segments, ``reader`` one shipper reading them,
``folder`` families, locks and adoption, ``ledger`` what was written, shipped, dropped, ``commands`` the command line.
"""
