"""The training data: weighted rows, folds, network inputs and minibatches."""
