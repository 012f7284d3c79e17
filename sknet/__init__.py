"""sknet: neural networks with one hidden layer for scikit-learn."""

__version__ = "0.2.0"

from sknet._classifier import SknetVersionWarning, TwoLayerClassifier
from sknet._display import LossCurveDisplay

__all__ = [
    "LossCurveDisplay",
    "SknetVersionWarning",
    "TwoLayerClassifier",
    "__version__",
]
