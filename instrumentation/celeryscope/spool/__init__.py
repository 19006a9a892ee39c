"""The spool: telemetry on local disk until the collector has it.

``format`` frames and segments, ``writer`` one process writing its segments, ``reader`` one shipper reading them,
``folder`` families, locks and adoption, ``ledger`` what was written, shipped, dropped, ``memory`` where records wait
while the disk fails, ``keeper`` what a process does that leaves the shipping to an agent, ``commands`` the command
line.
"""
