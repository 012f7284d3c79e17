"""The predictions of a fitted estimator: checks, then logits, block by block."""

from functools import partial

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sknet import _objects, _validation
from sknet._prediction import predict_rows


class ProbabilityMixin:
    """``predict`` and its relatives, from the fitted attributes."""

    def predict(self, X):
        """Most probable label of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        fitted = self._stand_in()  # one model throughout, whatever another thread does
        best = fitted._predict_rows(X, _most_probable)
        return fitted.classes_[best]

    def predict_proba(self, X):
        """Probability of each class: the members' mean.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`; float32 if `fit` was given float32.
        """
        return self._stand_in()._predict_rows(X, lambda loss, raw: loss.mean_proba(raw))

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`, computed from the logits: finite always.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return self._stand_in()._predict_rows(
            X, lambda loss, raw: loss.log_mean_proba(raw)
        )

    def decision_function(self, X):
        """Logit of the second class's probability, or the logarithm of each class's.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        score : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes, positive where the second is more probable.
        """
        return self._stand_in()._predict_rows(X, lambda loss, raw: loss.decision(raw))

    def _predict_rows(self, X, reduction):
        """Apply ``reduction(loss, raw)`` to the logits, block by block."""
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # finds the words
        with np.errstate(all="ignore"):  # what is too large is cut, or rounds to zero
            X = _validation.check_X(self, X, reset=False)
            network, standardizer = _objects.fitted_network(vars(self))
            reduce = partial(reduction, network.loss)
            return predict_rows(network, standardizer, X, reduce, self.temperature_)

    def _stand_in(self):
        """A shallow copy, whose attributes may change without anyone noticing."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other


def _most_probable(loss, raw):
    """Index (n,) of each row's class of the highest probability."""
    return loss.mean_proba(raw).argmax(axis=1)
