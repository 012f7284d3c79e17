"""sknet: scikit-learn's missing neural network, one hidden layer done right."""

from sknet._classifier import TwoLayerClassifier
from sknet._persistence import SknetVersionWarning
from sknet._plot import LossCurveDisplay
from sknet._version import __version__

__all__ = [
    "LossCurveDisplay",
    "SknetVersionWarning",
    "TwoLayerClassifier",
    "__version__",
]
