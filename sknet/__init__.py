"""sknet: scikit-learn's missing neural network, one hidden layer done right."""

from sknet._classifier import TwoLayerClassifier
from sknet._version import __version__

__all__ = ["TwoLayerClassifier", "__version__"]
