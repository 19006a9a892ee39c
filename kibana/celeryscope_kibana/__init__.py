"""Saved views and rules for Kibana."""
