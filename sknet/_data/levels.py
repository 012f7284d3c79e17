r"""Replace categories with many levels by statistics of the labels.

The statistic of a level and a class is the logit of the smoothed share of the class in
the level, minus that in all rows,

.. math:: \operatorname{logit} \frac{S_{lc} + a p_c}{S_l + a} - \operatorname{logit} p_c

with the weights S of the level and the prior p (Micci-Barreca 2001). For a training
row, it is computed from the rows of the other folds, so that it does not depend on the
row's own label. The smoothing a maximizes the out-of-fold likelihood of the labels. If
the levels do not help to predict the labels, the column is set to zero.
"""

import numpy as np

MANY_LEVELS = 40  # of a column: more make a statistic
N_FOLDS = 12
SMOOTHING = (1, 3, 10, 30, 100, 300, 1000)
LEAST_GAIN = 2.0  # of log-likelihood, in units of the mean weight


class LevelStatistics:
    """The statistics of the columns with many levels.

    Parameters
    ----------
    columns : list of int
    n_levels : list of int
        One for each of these columns.
    n_classes : int
    """

    def __init__(self, columns, n_levels, n_classes, logits=()):
        self.columns = columns
        self.n_levels = n_levels
        self.n_classes = n_classes
        # for each column (n_levels + 2, n_outputs); the last rows are those of a gap
        # and of a level that was not seen
        self.logits = list(logits)

    def fit_transform(self, X, y, rows, weight, fold):
        """X with statistics instead of codes, computed out of fold for ``rows``.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        y : ndarray of int of shape (n_samples,)
        rows : ndarray of int of shape (n,)
            The distinct training rows.
        weight : ndarray of shape (n,)
        fold : ndarray of int of shape (n,)
        """
        weight = weight / weight.mean()
        k, K = fold.max() + 1, self.n_classes
        prior = np.bincount(y[rows], weight, minlength=K) / weight.sum()
        out_of_fold = []
        for j, n_levels in zip(self.columns, self.n_levels, strict=True):
            n = n_levels + 2
            codes = _codes(X[rows, j], n_levels)
            cell = (fold * n + codes) * K + y[rows]
            of_fold = np.bincount(cell, weight, minlength=k * n * K).reshape(k, n, K)
            whole = of_fold.sum(axis=0)
            others = np.maximum(whole - of_fold, 0)
            gains = [
                (of_fold * np.log(_share(others, prior, a) / prior)).sum()
                for a in SMOOTHING
            ]
            if max(gains) < LEAST_GAIN:
                others, whole = others * 0, whole * 0
            a = SMOOTHING[int(np.argmax(gains))]
            self.logits.append(_logits(whole, prior, a))
            out_of_fold.append(_logits(others, prior, a)[fold, codes])
        X = self.transform(X)
        for i, logits in enumerate(out_of_fold):
            X[rows[:, np.newaxis], self._places(X, i)] = logits
        return X

    def transform(self, X):
        """A new X: the first statistic replaces the codes, the others are appended."""
        more = sum(logits.shape[1] - 1 for logits in self.logits)
        X = np.hstack([X, np.empty((len(X), more), X.dtype)])
        for i, (j, logits) in enumerate(zip(self.columns, self.logits, strict=True)):
            X[:, self._places(X, i)] = logits[_codes(X[:, j], self.n_levels[i])]
        return X

    def names(self, columns, classes):
        """Names of the columns of the new X."""
        if len(classes) == 2:
            return columns
        named = list(columns)
        for j in self.columns:
            named[j] = f"{columns[j]} (statistic of {classes[0]})"
            named += [f"{columns[j]} (statistic of {label})" for label in classes[1:]]
        return named

    def _places(self, X, i):
        """The columns of the new X with the statistics of the i-th of ``columns``."""
        width = self.logits[i].shape[1] - 1
        start = X.shape[1] - width * (len(self.columns) - i)
        return [self.columns[i], *range(start, start + width)]


def _codes(values, n_levels):
    """Codes in which missing values and unseen levels come after the known levels."""
    codes = np.where(np.isnan(values), n_levels, values).astype(np.intp)
    return np.where(codes < 0, n_levels + 1, codes)


def _share(counts, prior, a):
    return (counts + a * prior) / (counts.sum(axis=-1, keepdims=True) + a)


def _logits(counts, prior, a):
    """Logits (..., n_levels + 2, n_outputs), zero for a level without rows."""
    share = _share(counts, prior, a)
    logits = np.log(share / (1 - share) * (1 - prior) / prior)
    logits[counts.sum(axis=-1) == 0] = 0
    return logits[..., 1:] if len(prior) == 2 else logits
