"""What training counts: weighted rows, folds, network inputs, minibatches."""
