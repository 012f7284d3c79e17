"""Select held-out rows: folds for several members, a part of the rows for one member.

Rows of one group are kept together. If the user gives no groups, rows with equal x form
a group. If one of two such rows with different labels were in training, it would bias
the prediction of the other.
"""

import numpy as np

# instead of a fold: all members train on the row; each member leaves out an equal
# share of its weight
NO_FOLD, EVERY_FOLD = -1, -2


def _group_labels(y, group):
    """The rarest class (n_groups,) among the rows of each group."""
    order = np.argsort(np.bincount(y), kind="stable")
    rarity = np.argsort(order)
    rarest = np.full(group.max() + 1, len(order))
    np.minimum.at(rarest, group, rarity[y])
    return order[rarest]


def hold_out(y, group, fraction, rng):
    """Whether each row (n,) belongs to a held-out, stratified part of the groups.

    No class is held out completely. Every class with two or more groups has at least
    one in training and one held out. Nothing is held out if there is no such class.

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
            n_held_out = np.clip(round(fraction * len(members)), 1, len(members) - 1)
            held_out[rng.permutation(members)[:n_held_out]] = True
    for label in np.unique(y):  # a class may have no group of its own
        groups = group[y == label]
        if held_out[groups].all():
            held_out[groups[0]] = False
    return held_out[group]


def deal_folds(y, group, n_folds, rng, heavy=None):
    """Assign each row (n,) to a stratified fold, or to NO_FOLD or EVERY_FOLD.

    The groups of each class are shuffled, ordered by size and assigned to the folds in
    turn, so that a class with fewer groups than folds is spread over some of them. A
    class with a single group is in no fold, because a member that did not train on it
    could not predict the class. For the same reason, if all groups of a class are in
    one fold, the first of them is taken out of the fold.

    Parameters
    ----------
    y, group : ndarray of int of shape (n,)
    n_folds : int
    rng : numpy.random.Generator
    heavy : ndarray of bool of shape (n_groups,) or None
        Whether each group is in every fold.
    """
    labels, sizes = _group_labels(y, group), np.bincount(group)
    light = np.ones(len(labels), dtype=bool) if heavy is None else ~heavy
    dealt = [np.empty(0, np.intp)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero((labels == label) & light))
        members = members[np.argsort(-sizes[members], kind="stable")]
        if len(members) > 1 or (labels[~light] == label).any():
            dealt.append(members)
    dealt = np.concatenate(dealt)
    fold = np.where(light, NO_FOLD, EVERY_FOLD)
    fold[dealt] = np.arange(len(dealt)) % n_folds
    for label in np.unique(y):
        groups = group[y == label]
        if fold[groups[0]] >= 0 and (fold[groups] == fold[groups[0]]).all():
            fold[groups[0]] = NO_FOLD
    return fold[group]


def find_rows(known_hashes, hashes):
    """Position of each row among the distinct rows, or -1 if it is none of them.

    Parameters
    ----------
    known_hashes : ndarray of shape (n,)
        Hashes of the distinct rows.
    hashes : ndarray of shape (n_samples,)
    """
    order = np.argsort(known_hashes)
    place = np.searchsorted(known_hashes, hashes, sorter=order)
    place = order[np.minimum(place, len(order) - 1)]
    return np.where(known_hashes[place] == hashes, place, -1)
