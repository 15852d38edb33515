"""A day of traffic, replayed without a network: the router against an oracle that knows the future, LiteLLM's strategies, and chance."""
