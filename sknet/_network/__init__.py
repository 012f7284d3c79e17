"""What is computed: activations, losses, and the network with its gradient."""
