"""The whole stack on this machine with the shop's load: `python -m demo run|up|down|status|load`."""
