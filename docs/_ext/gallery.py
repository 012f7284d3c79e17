"""How the examples run, and in which order they are shown."""

import warnings
from pathlib import Path

from threadpoolctl import threadpool_limits

# within each folder; others come last
ORDER = [
    "plot_quickstart",
    "plot_loss_curves",
    "plot_grid_search",
    "plot_calibration",
    "plot_raw_table",
    "plot_groups",
    "plot_weights",
    "plot_stream",
    "plot_sparse_text",
    "plot_explaining",
    "plot_displays",
    "plot_out_of_fold",
    "plot_serving",
    "plot_blend",
    "plot_knots",
    "plot_callbacks",
    "plot_lbfgs",
]


class Order:
    """Sort key of sphinx-gallery for the files of one folder."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, filename):
        """Place in ``ORDER``, then the name."""
        name = Path(filename).stem
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)


class Strict:
    """Around each example: one BLAS thread, and warnings are errors."""

    def __call__(self, gallery_conf, fname, when):
        """Set up before an example and put back after it."""
        if when == "before":
            self.limits = threadpool_limits(1)
            self.filters = warnings.filters[:]
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*Agg is non-interactive")
            # it takes a second to place one only where the machine is busy
            warnings.filterwarnings("ignore", message="Creating legend with loc=")
        else:
            self.limits.restore_original_limits()
            warnings.filters[:] = self.filters


strict = Strict()
