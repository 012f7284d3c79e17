"""The network and its gradient, activations and losses."""
