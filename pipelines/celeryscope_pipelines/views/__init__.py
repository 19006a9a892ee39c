"""The terminal views: what Elasticsearch knows about tasks, workflows, failures and logs, on one screen.

One way through: ``queries`` builds a search (pure), ``fetch`` runs it (the only class that talks to Elasticsearch) and
turns hits into plain data (``attempts``, ``logs``, ``failures``, ``status``), ``tree`` and ``waterfall`` make the model
of a workflow from its attempts (pure), and the module of each view turns its model into something rich can print or
into a dict for ``--json`` (pure). ``terminal`` is the other edge: the console and its encoding.
"""
