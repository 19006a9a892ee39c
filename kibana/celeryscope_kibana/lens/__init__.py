"""Lens charts: columns (what is counted), and the three kinds of charts that show them."""
