"""Alert rules: data in ``celeryscope_kibana/rules``, one file each, that Kibana's rules and `celeryscope watch` share.

``reading`` finds and checks them, ``adjusting`` applies what an operator wants otherwise, ``query`` makes the request.
"""
