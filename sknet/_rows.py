"""Rows as a weighted set: distinct, in an order that only their content decides.

A fit is a function of the weighted data, not of how it is written down. Three steps see
to that before anything random happens, with indices and weights, never a copy of X:

1. ``distinct_rows`` drops rows of weight zero and merges equal (x, y) rows, adding
   their weights. A hash of the bits finds them and a comparison verifies. From here
   on, weight 3 and three copies are the same arrays, bit for bit.
2. ``canonical_order`` sorts what is left by one fixed projection of the standardized
   rows. The hash could do that too, but the projection does not change when a column
   is shifted or rescaled, and ``orientation`` makes up for one that is turned round.
3. ``hold_out`` or ``deal_folds`` splits by class, in that order.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from sknet._columns import float_blocks

LIMIT = 1e30  # of standardized values, whose cubes must be finite
WILD_LIMIT = 1e5  # of those that are centred too: only wild ones are larger
ROWS_TO_RANK_BY = 1 << 16  # that tell the order of the classes, if all are among them

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class DistinctRows(NamedTuple):
    """Indices into X and y, and the weight and the hash of each x."""

    rows: np.ndarray
    weight: np.ndarray
    hashes: np.ndarray


class CanonicalOrder(NamedTuple):
    """An order of the distinct rows, and what else must not depend on the writing."""

    order: np.ndarray | slice  # (n,) positions into the distinct rows
    orientation: np.ndarray  # (d,) +1 or -1: which way round a column counts
    class_rank: np.ndarray  # (n_classes,) places of the classes in a fixed order


def _mix(bits):
    """Splitmix64's finalizer (Steele, Lea and Flood 2014): all bits move all."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX_1
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX_2
    return bits ^ (bits >> np.uint64(31))


def _column_constants(n, stream):
    """n fixed 64-bit constants, the same for ever: they must not depend on a seed."""
    count = np.arange(1, n + 1, dtype=np.uint64) + (np.uint64(stream) << np.uint64(40))
    return _mix(count * _GOLDEN)


def _bits(values):
    """Bits of float64 entries, mixed so that a product with an odd constant is a hash.

    0.0 and -0.0 are alike. Small integers and round numbers differ in their high bits
    alone, 1 and -1 in the highest. So these come down, are multiplied up and come down
    once more: then any two values differ in low bits too, and products with an odd
    constant in all. Zero stays zero. ``row_hash`` mixes the sum of a row's products.
    """
    bits = (values + 0.0).view(np.uint64)
    bits ^= bits >> np.uint64(32)
    bits *= _MIX_1
    bits ^= bits >> np.uint64(32)
    return bits


def row_hash(X, rows):
    """64-bit hash (n,) of the rows' values, whatever X's dtype, order or container.

    A row's hash is the sum of its entries' hashes, zeros counting nothing, so that
    dense and sparse rows agree.
    """
    constants = _column_constants(X.shape[1], 0) | np.uint64(1)
    hashes = np.empty(len(rows), np.uint64)
    for part, block in float_blocks(X, rows, own=False):
        if sp.issparse(block):
            entries = _bits(block.data) * constants[block.indices]
            total = np.concatenate([[np.uint64(0)], np.cumsum(entries)])
            hashes[part] = total[block.indptr[1:]] - total[block.indptr[:-1]]
        else:
            np.einsum("nd,d->n", _bits(block), constants, out=hashes[part])
    return _mix(hashes)


def distinct_rows(X, y, sample_weight):
    """Distinct (x, y) rows of positive weight, ordered by content, weights added.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    y : ndarray of int of shape (n_samples,)
    sample_weight : ndarray of float64 of shape (n_samples,)
    """
    rows = np.flatnonzero(sample_weight > 0)
    hashes = row_hash(X, rows)
    order = _order_by_hash(hashes, rows, y, sample_weight)
    rows, hashes = rows[order], hashes[order]

    repeats = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1
    repeats = repeats[y[rows[repeats]] == y[rows[repeats - 1]]]
    equal = _equal_rows(X, rows[repeats], rows[repeats - 1])
    if not equal.all():
        alike = np.flatnonzero(np.isin(hashes, hashes[repeats[~equal]]))
        rows[alike] = _order_by_content(X, rows[alike], hashes[alike], y, sample_weight)
        equal = _equal_rows(X, rows[repeats], rows[repeats - 1])
    repeats = repeats[equal]
    weight = sample_weight[rows]
    if len(repeats) == 0:
        return DistinctRows(rows, weight, hashes)
    is_first = np.ones(len(rows), dtype=bool)
    is_first[repeats] = False
    first = np.flatnonzero(is_first)
    return DistinctRows(rows[first], np.add.reduceat(weight, first), hashes[first])


def _order_by_hash(hashes, rows, y, sample_weight):
    """Order (n,) of the rows by hash; those of one hash by label and weight.

    By weight, so that sums of weights do not depend on the caller's order either.
    Sorting is faster than argsort: positions stand in the hashes' low bits, and what
    then is equal in the high ones is sorted once more.
    """
    n = len(hashes)
    low_bits = np.uint64((1 << (n - 1).bit_length()) - 1)
    packed = hashes & ~low_bits
    packed |= np.arange(n, dtype=np.uint64)
    packed.sort()
    same = (packed[1:] ^ packed[:-1]) <= low_bits
    packed &= low_bits
    order = packed.astype(np.intp)
    if same.any():
        tied = np.zeros(n, dtype=bool)
        tied[1:] = same
        tied[:-1] |= same
        part = order[tied]
        of_part = rows[part]
        keys = sample_weight[of_part], y[of_part], hashes[part]
        order[tied] = part[np.lexsort(keys)]
    return order


def _order_by_content(X, rows, hashes, y, sample_weight):
    """These rows by hash, label, x and weight: different x have a hash in common."""
    x = np.concatenate(
        [b.toarray() if sp.issparse(b) else b for _, b in float_blocks(X, rows)]
    )
    place = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    return rows[np.lexsort((sample_weight[rows], place, y[rows], hashes))]


def _equal_rows(X, left, right):
    """Whether row left[i] equals row right[i], for each i: never trust a hash alone."""
    equal = np.ones(len(left), dtype=bool)
    for (part, a), (_, b) in zip(
        float_blocks(X, left), float_blocks(X, right), strict=True
    ):
        if sp.issparse(a):
            equal[part] &= np.diff(sp.csr_array(a - b != 0).indptr) == 0
        else:
            equal[part] &= (a == b).all(axis=1)
    return equal


def canonical_order(X, distinct, y, n_classes, statistics):
    """Order the distinct rows by what they are, in the columns' own units.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_samples, n_features)
    distinct : DistinctRows
    y : ndarray of int of shape (n_samples,)
    n_classes : int
    statistics : ColumnStatistics or None
        None if X is not standardized: then columns keep their units and direction,
        and the hashes, by which the rows are sorted, do for an order.
    """
    rows, weight, key = distinct
    y = y[rows]
    direction = np.ones(X.shape[1])
    if statistics is not None:
        # a class's frequency does not depend on its name; its index does, but tells two
        # of one frequency apart
        frequency = np.bincount(y, weight / weight.sum(), minlength=n_classes)
        by_label = weight * (1 + frequency[y]), weight * (1 + y)
        direction = orientation(X, rows, by_label, weight, statistics)
        key = _projection(X, rows, statistics, direction)
        # rows of one x stand together; rounding must not order them, but their labels
        begins = np.append(True, distinct.hashes[1:] != distinct.hashes[:-1])
        key = key[begins][np.cumsum(begins) - 1]
        class_rank = _class_rank(key, y, weight, n_classes)
        order = np.argsort(key)
        if (key[order[1:]] == key[order[:-1]]).any():
            order = np.lexsort((class_rank[y], key))  # dearer, and seldom needed
        # sorted rows make poor minibatches: a fixed shuffle, which depends on n alone
        order = order[np.random.default_rng(0).permutation(len(order))]
    else:  # sorted by hash, which is as good as shuffled
        some = slice(ROWS_TO_RANK_BY)
        if len(np.unique(y[some])) < n_classes:
            some = slice(None)
        projected = _projection(X, rows[some], None, direction)
        class_rank = _class_rank(projected, y[some], weight[some], n_classes)
        order = slice(None)
        if (key[1:] == key[:-1]).any():
            order = np.lexsort((class_rank[y], key))
    return CanonicalOrder(order, direction, class_rank)


def _class_rank(key, y, weight, n_classes):
    """Places (n_classes,) of the classes in the order of their rows' mean key.

    Rounding must not decide: where two means are equal, as in a balanced design, the
    mean square does; where these are too, the classes' weights.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        unit = np.abs(key).max()
        key = key / (unit if unit > 0 else 1.0)
        weight = weight / weight.sum()  # whose scale could bring an overflow
        share = np.bincount(y, weight, minlength=n_classes)
        mean = np.bincount(y, weight * key, minlength=n_classes) / share
        square = np.bincount(y, weight * key**2, minlength=n_classes) / share
    class_rank = np.empty(n_classes, np.intp)
    class_rank[np.lexsort(np.round([share, square, mean], 9))] = np.arange(n_classes)
    return class_rank


def orientation(X, rows, label_weights, weight, statistics):
    """Which way round each column counts: +1 or -1, turned when the column is turned.

    The sign of sum_i w_i z_ij |z_i|^2, in which the column's own skewness has the
    largest part; where that vanishes, of the column's covariance with the label, by the
    first of ``label_weights`` (n,) for which there is one. Where all vanish, as in a
    balanced design, a column stays as it is: what rounding leaves of them would have
    another sign in other units.
    """
    weights = [None, *label_weights]
    total, size = np.zeros((2, len(weights), X.shape[1]))
    for part, Z in _standardized_blocks(X, rows, statistics):
        square = Z.multiply(Z) if sp.issparse(Z) else Z * Z
        by_row = weight[part] * np.asarray(square.sum(axis=1)).ravel()
        magnitude = abs(Z)
        for i, row_weight in enumerate(weights):
            of_rows = by_row if row_weight is None else row_weight[part]
            total[i] += of_rows @ Z
            size[i] += of_rows @ magnitude
    direction = np.ones(X.shape[1])
    for t, s in zip(total[::-1], size[::-1], strict=True):
        direction = np.where(np.abs(t) > 1e-6 * s, np.sign(t), direction)
    return direction


def _projection(X, rows, statistics, direction):
    """One number (n,) per row, a fixed random combination of its oriented columns."""
    constants = _column_constants(X.shape[1], 1)
    axis = (constants >> np.uint64(11)) * 2.0**-52 - 1  # uniform on [-1, 1)
    key = np.empty(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        for part, Z in _standardized_blocks(X, rows, statistics):
            key[part] = Z @ (axis * direction)
    return key


def _standardized_blocks(X, rows, statistics):
    """Rows in float64 blocks, centred and scaled if there are statistics."""
    for part, block in float_blocks(X, rows):
        if statistics is not None:
            factor = 1 / np.maximum(statistics.scale, 4 / np.finfo(np.float64).max)
            if sp.issparse(block):
                block.data *= factor[block.indices]
            else:
                with np.errstate(over="ignore"):  # what is too large is cut
                    block -= statistics.centre
                    block *= factor
            entries = block.data if sp.issparse(block) else block
            # a wild value must leave digits to those with which it is summed
            limit = LIMIT if statistics is None or sp.issparse(block) else WILD_LIMIT
            np.clip(entries, -limit, limit, out=entries)
        yield part, block


class Groups(NamedTuple):
    """Rows of equal x, which a split must not tear apart.

    Two rows of one x with different labels know each other's answer: one in training
    would tell the other's held-out prediction the wrong label.
    """

    of_row: np.ndarray  # (n,) each row's group
    label: np.ndarray  # (n_groups,) the rarest class among each group's rows


def groups_of_equal_x(hashes, y, class_rank):
    """Group rows by the hashes of their x; rarer classes speak for a group.

    Parameters
    ----------
    hashes : ndarray of uint64 of shape (n,)
        From ``row_hash``. Two x of one hash would only be dealt together.
    y : ndarray of int of shape (n,)
    class_rank : ndarray of int of shape (n_classes,)
    """
    first, of_row = np.unique(hashes, return_index=True, return_inverse=True)[1:]
    of_row = np.argsort(np.argsort(first))[of_row.ravel()]  # numbered as they come
    rarity = np.lexsort((class_rank, np.bincount(y, minlength=len(class_rank))))
    place = np.empty(len(rarity), np.intp)
    place[rarity] = np.arange(len(rarity))
    rarest = np.full(len(first), len(rarity))
    np.minimum.at(rarest, of_row, place[y])
    return Groups(of_row, rarity[rarest])


def hold_out(y, groups, fraction, class_rank, rng):
    """Whether each row (n,) is held out, in a stratified part of the groups.

    No class is held out altogether, and every class that speaks for two groups or more
    has one on either side. Nothing is held out if there is no such class.

    Parameters
    ----------
    y : ndarray of int of shape (n,)
    groups : Groups
    fraction : float
        Share of each class's groups to hold out.
    class_rank : ndarray of int of shape (n_classes,)
        The classes' order of drawing, which must not depend on their names.
    rng : numpy.random.Generator
    """
    held_out = np.zeros(len(groups.label), dtype=bool)
    for label in np.argsort(class_rank):
        members = np.flatnonzero(groups.label == label)
        if len(members) >= 2:
            n_held_out = round(fraction * len(members))
            n_held_out = min(max(n_held_out, 1), len(members) - 1)
            held_out[rng.permutation(members)[:n_held_out]] = True
    out = held_out[groups.of_row]
    for label in np.unique(y):  # one that others speak for may be held out altogether
        if out[y == label].all():
            back = groups.of_row[y == label][0]
            out[groups.of_row == back] = False
    return out


def deal_folds(y, groups, n_folds, class_rank, rng):
    """Fold (n,) of each row, stratified; -1 for rows that are in no fold.

    The groups of each class are shuffled and dealt one after the other, as cards are: a
    class with fewer groups than folds spreads over some. A class with a single group is
    in no fold: without it a member could not know that the class exists. Nor could it
    if others speak for all groups of a class and these come to one fold: then the first
    of them is in none.

    Parameters
    ----------
    y : ndarray of int of shape (n,)
    groups : Groups
    n_folds : int
    class_rank : ndarray of int of shape (n_classes,)
        The classes' order of dealing, which must not depend on their names.
    rng : numpy.random.Generator
    """
    dealt = [np.empty(0, np.intp)]
    for label in np.argsort(class_rank):
        members = rng.permutation(np.flatnonzero(groups.label == label))
        dealt.append(members if len(members) >= 2 else members[:0])
    dealt = np.concatenate(dealt)
    fold = np.full(len(groups.label), -1, np.intp)
    fold[dealt] = np.arange(len(dealt)) % n_folds
    for label in np.unique(y):
        own = groups.of_row[y == label]
        if (fold[own] == fold[own[0]]).all():
            fold[own[0]] = -1
    return fold[groups.of_row]


def fold_of_rows(X, rows, fold):
    """Fold (n_samples,) of every row of X, from that of the rows trained on.

    The fold is a property of x, as equal x are dealt together: rows that were merged or
    dropped find their own by it. -2 for an x that no member trained on.
    """
    known = row_hash(X, rows)
    order = np.argsort(known)
    known, fold = known[order], fold[order]
    hashes = row_hash(X, np.arange(X.shape[0]))
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[place] == hashes, fold[place], -2)
