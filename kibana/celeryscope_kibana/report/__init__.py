"""``celeryscope report``: the timeline and the cluster view of Kibana as one HTML page, for people without Kibana.

``command`` reads the options, ``store`` asks Elasticsearch, ``gathering`` decides what belongs in a report, ``page``
writes it; ``assets`` is what the page is made of. Vega comes out of vl-convert-python.
"""
