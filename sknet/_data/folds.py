"""Which rows are held out: folds for several members, a part of the rows for one.

Rows of one group are kept together. Without groups of the user's, a group is the rows
of equal x: two rows of one x with different labels know each other's answer, and one of
them in training would bias the prediction of the other.
"""

import numpy as np

# instead of a fold: a row that all members train on; an x that is in all folds, in
# equal parts; and an x that no member knows
NO_FOLD, EVERY_FOLD, UNKNOWN = -1, -2, -3


def group_by_hash(hashes):
    """Group (n,) of each row, by the hash of its x; numbered as they appear."""
    first, group = np.unique(hashes, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(first))[group.ravel()]


def _group_labels(y, group):
    """The rarest class (n_groups,) among the rows of each group."""
    order = np.argsort(np.bincount(y), kind="stable")
    rarity = np.empty(len(order), np.intp)
    rarity[order] = np.arange(len(order))
    rarest = np.full(group.max() + 1, len(order))
    np.minimum.at(rarest, group, rarity[y])
    return order[rarest]


def hold_out(y, group, fraction, rng):
    """Whether each row (n,) is held out, in a stratified part of the groups.

    No class is held out altogether. Every class with two groups or more has one on
    either side. Nothing is held out if there is no such class.

    Parameters
    ----------
    y, group : ndarray of int of shape (n,)
    fraction : float
        Share of each class's groups to hold out.
    rng : numpy.random.Generator
    """
    labels = _group_labels(y, group)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= 2:
            n_held_out = round(fraction * len(members))
            n_held_out = min(max(n_held_out, 1), len(members) - 1)
            held_out[rng.permutation(members)[:n_held_out]] = True
    for label in np.unique(y):  # a class may have no group of its own
        groups = group[y == label]
        if held_out[groups].all():
            held_out[groups[0]] = False
    return held_out[group]


def deal_folds(y, group, n_folds, rng, heavy=None):
    """Fold (n,) of each row, stratified; NO_FOLD or EVERY_FOLD for some.

    The groups of each class are shuffled, ordered by size and dealt one after the
    other, as cards are, so that a class with fewer groups than folds spreads over some
    of them. A class with a single group is in no fold: a member that did not train on
    it could not know that the class exists. For the same reason, a class without a
    group of its own whose groups all came to one fold takes the first of them out.

    Parameters
    ----------
    y, group : ndarray of int of shape (n,)
    n_folds : int
    rng : numpy.random.Generator
    heavy : ndarray of bool of shape (n_groups,) or None
        The groups that are in every fold.
    """
    labels, sizes = _group_labels(y, group), np.bincount(group)
    light = np.ones(len(labels), dtype=bool) if heavy is None else ~heavy
    dealt = [np.empty(0, np.intp)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero((labels == label) & light))
        members = members[np.argsort(-sizes[members], kind="stable")]
        alone = len(members) < 2 and not (labels[~light] == label).any()
        dealt.append(members[:0] if alone else members)
    dealt = np.concatenate(dealt)
    fold = np.where(light, NO_FOLD, EVERY_FOLD)
    fold[dealt] = np.arange(len(dealt)) % n_folds
    for label in np.unique(y):
        groups = group[y == label]
        if fold[groups[0]] >= 0 and (fold[groups] == fold[groups[0]]).all():
            fold[groups[0]] = NO_FOLD
    return fold[group]


def fold_of_rows(known_hashes, fold, hashes):
    """Fold of every row, from the folds of the distinct rows, or UNKNOWN.

    The fold is a property of x. Rows that were merged or dropped find it by their hash.

    Parameters
    ----------
    known_hashes, fold : ndarray of shape (n,)
        Of the distinct rows.
    hashes : ndarray of shape (n_samples,)
    """
    order = np.argsort(known_hashes)
    known_hashes, fold = known_hashes[order], fold[order]
    place = np.searchsorted(known_hashes, hashes)
    place = np.minimum(place, len(known_hashes) - 1)
    return np.where(known_hashes[place] == hashes, fold[place], UNKNOWN)
