"""OTLP/HTTP as bytes and dicts: decompression, decoding, answers."""
