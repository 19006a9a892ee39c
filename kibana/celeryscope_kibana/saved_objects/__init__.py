"""The kinds of Kibana's saved objects, as pure functions that make them."""
