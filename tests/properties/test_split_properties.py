"""What holds for the split whatever the groups and near-duplicates are."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib.sides import (
    METHODS,
    STRADDLING,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    _tops,
    by_hash,
    chosen,
    exactly,
    identities,
)


def section(**changes) -> Split:
    return Split(
        **{
            "seed": 1,
            "method": "hash",
            "validation": 0.2,
            "test": 0.2,
            "stratify": None,
            "group": None,
            "near_duplicates": 0.8,
            "max_cluster": 1000,
            "shards": None,
            "read": None,
            "train_rows": None,
            "folds": None,
            "fold": 0,
            "evaluate_on": "test",
            "max_leakage": 0.0,
            **changes,
        }
    )


@st.composite
def tables(draw):
    """Groups of some rows, strata, and near-duplicate pairs (first < second)."""
    count = draw(st.integers(1, 60))
    groups = identities((str(draw(st.integers(0, 40))),) for _ in range(count))
    strata = np.array([draw(st.integers(0, 3)) for _ in range(count)])
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    pairs = sorted({(max(p), min(p)) for p in draw(st.lists(ends, max_size=25)) if p[0] != p[1]})
    cut = draw(st.integers(0, count))
    return groups, strata, [block([p for p in pairs if p[0] < cut]), block([p for p in pairs if p[0] >= cut])]


def block(pairs):
    """Pairs of (second, first) as the search for near-duplicates gives them."""
    second, first = np.array(pairs, np.int32).reshape(-1, 2).T
    return SimpleNamespace(first=first, second=second)


def listed(blocks):
    return [pair for b in blocks for pair in zip(b.first.tolist(), b.second.tolist(), strict=True)]


@given(tables(), st.sampled_from(["hash", "exact"]), st.integers(0, 5), st.sampled_from([2, 1000]))
@settings(max_examples=300, deadline=None)
def test_no_group_and_no_near_duplicates_straddle(table, method, seed, max_cluster):
    groups, strata, pairs = table
    side, _ = METHODS[method](groups, strata, pairs, section(method=method, seed=seed, max_cluster=max_cluster))
    for group in np.unique(groups):
        assert len({int(s) for s in side[groups == group] if s >= 0}) <= 1
    for first, second in listed(pairs):
        assert side[first] == side[second] or min(side[first], side[second]) < 0
    assert set(side.tolist()) <= {TRAIN, VALIDATION, TEST, STRADDLING, -2}


@given(tables(), st.integers(0, 59))
@settings(max_examples=200, deadline=None)
def test_rows_added_at_the_end_move_no_row_before_them(table, cut):
    groups, strata, pairs = table
    early = [block([(second, first) for first, second in listed(pairs) if second < cut])]
    before, _ = by_hash(groups[:cut], strata[:cut], early, section())
    after, _ = by_hash(groups, strata, pairs, section())
    assert (after[:cut] == before).all()


@given(st.integers(1, 300), st.floats(0, 0.45), st.floats(0, 0.45), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_exact_shares_are_exact_and_kept_in_each_stratum(count, validation, test, kinds):
    groups = identities((str(n),) for n in range(count))
    strata = np.arange(count) % kinds
    side, _ = exactly(groups, strata, [], section(method="exact", validation=validation, test=test))
    for label, share in ((TEST, test), (VALIDATION, validation)):
        assert abs((side == label).sum() - count * share) < 1
        for stratum in range(kinds):
            assert abs((side[strata == stratum] == label).sum() - (strata == stratum).sum() * share) <= 1


@given(tables(), st.sampled_from(["hash", "exact"]), st.integers(2, 6) | st.just(300), st.sampled_from([2, 1000]))
@settings(max_examples=200, deadline=None)
def test_folds_partition_the_rows(table, method, folds, max_cluster):
    groups, strata, pairs = table
    sides = []
    for fold in range(folds):
        asked = section(method=method, folds=folds, fold=fold, validation=0.1, max_cluster=max_cluster)
        side, _ = METHODS[method](groups, strata, pairs, asked)
        assert all(side[first] == side[second] or min(side[first], side[second]) < 0 for first, second in listed(pairs))
        sides.append(side)
    tested = np.sum([side == TEST for side in sides], axis=0)
    left_out = np.all([side < 0 for side in sides], axis=0)
    # By hash a row may resemble rows of two folds: then none has it.
    assert ((tested == 1) | (left_out & (tested == 0))).all()
    assert method == "hash" or not left_out.any()


@given(st.integers(2, 90), st.integers(2, 6), st.lists(st.integers(0, 8), min_size=90, max_size=90))
@settings(max_examples=100, deadline=None)
def test_folds_of_single_rows_are_exact_and_so_they_are_in_each_stratum(count, folds, kinds):
    groups, strata = identities((str(n),) for n in range(count)), np.array(kinds[:count])
    asked = [section(method="exact", folds=folds, fold=fold, validation=0.0) for fold in range(folds)]
    tested = [exactly(groups, strata, [], fold)[0] == TEST for fold in asked]
    for rows in (strata >= 0, *(strata == kind for kind in set(kinds))):
        sizes = [int((fold & rows).sum()) for fold in tested]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("most", [3, 4, 5])
def test_a_row_joins_two_clusters_only_if_they_fit_into_one(most):
    groups = identities((str(n),) for n in range(5))
    pairs = [block([(1, 0), (3, 2), (4, 1), (4, 3)])]
    side, cluster = by_hash(groups, groups, pairs, section(max_cluster=most, validation=0.0, test=0.0))
    assert (side[4] == TRAIN) == (most == 5)
    assert len(set(cluster[:4].tolist())) == (1 if most == 5 else 2)


def test_a_group_stays_together_and_gathers_no_other_cluster_beyond_measure():
    count = 500
    groups = identities((str(n % count),) for n in range(2 * count))
    pairs = [block([(n + count, n - 1) for n in range(1, count)])]
    alone = section(max_cluster=2, validation=0.0, test=0.0)
    side, cluster = by_hash(groups, groups, pairs, alone)
    assert np.unique(cluster[side >= 0], return_counts=True)[1].max() == 2
    assert (side < 0).sum() == count - 1
    whole, of_all = by_hash(identities([("a",)] * 50), groups[:50], [block([(n, n - 1) for n in range(1, 50)])], alone)
    assert (whole == TRAIN).all()
    assert set(of_all.tolist()) == {0}


def test_a_long_way_up_a_cluster_is_gone_in_few_steps():
    top = np.maximum(np.arange(100_000) - 1, 0)
    began = time.process_time()
    assert not _tops(top, np.arange(100_000)).any()
    assert time.process_time() - began < 2  # one step at a time takes a minute


def test_another_seed_deals_anew_and_shares_are_kept_on_average():
    groups = identities((str(n),) for n in range(20_000))
    one, _ = by_hash(groups, groups, [], section())
    other, _ = by_hash(groups, groups, [], section(seed=2))
    assert abs((one == TEST).mean() - 0.2) < 0.01
    assert abs((one == VALIDATION).mean() - 0.2) < 0.01
    assert 0.03 < ((one == TEST) & (other == TEST)).mean() < 0.05


def test_the_side_of_a_text_is_the_same_for_ever():
    assert identities([("Copo azul", "Um copo.")]).tolist() == [859812961014121656]
    sides, _ = by_hash(identities((str(n),) for n in range(12)), np.zeros(12), [], section())
    assert sides.tolist() == [1, 1, 1, 2, 1, 0, 0, 1, 0, 1, 0, 0]


@given(tables(), st.sampled_from(["hash", "exact"]), st.integers(2, 7))
@settings(max_examples=100, deadline=None)
def test_near_duplicates_gather_no_more_rows_than_allowed(table, method, most):
    groups, strata, pairs = table
    alone = identities((str(n),) for n in range(len(groups)))
    side, cluster = METHODS[method](alone, strata, pairs, section(method=method, max_cluster=most))
    assert np.unique(cluster[side >= 0], return_counts=True)[1].max(initial=0) <= most
    for first, second in listed(pairs):
        together = method == "hash" and min(side[first], side[second]) >= 0
        assert not together or cluster[first] == cluster[second]


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_share_of_the_rows_takes_the_same_ones_however_many_join_them(rows, more, share, seed):
    identity = identities((str(n),) for n in range(rows + more))
    few, many = chosen(identity[:rows], share, seed, "read"), chosen(identity, share, seed, "read")
    assert few.tolist() == many[:rows].tolist()


@pytest.mark.parametrize(("asked", "wanted"), [(1, 1), (400, 400), (10_000, 1000), (1.0, 1000), (None, 1000)])
def test_a_whole_number_counts_rows_and_a_share_counts_parts(asked, wanted):
    identity = identities((str(n),) for n in range(1000))
    assert chosen(identity, section(read=asked).read, 1, "read").sum() == wanted


def test_half_of_the_rows_is_about_half():
    identity = identities((str(n),) for n in range(10_000))
    assert abs(chosen(identity, section(read=0.5).read, 1, "read").sum() - 5000) < 200
