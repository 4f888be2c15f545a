from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.blobs.layout import FOLD_LIMIT, Layout, fold


@given(st.lists(st.integers(0, 7), max_size=12), st.integers(0, 90), st.integers(0, 90))
def test_pieces_are_the_bytes_asked_for(sizes, start, end):
    whole = [(name, at) for name, size in enumerate(sizes) for at in range(size)]
    layout = Layout([[str(name), size] for name, size in enumerate(sizes)])
    found = [(int(name), at) for name, low, high in layout.pieces(start, end) for at in range(low, high)]
    assert found == whole[start:end]
    assert layout.size == len(whole)


def test_a_range_touches_only_its_extents():
    layout = Layout([[str(n), 10] for n in range(1000)])
    assert list(layout.pieces(4995, 5005)) == [("499", 5, 10), ("500", 0, 5)]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=300))
def test_folding_keeps_extents_few_and_rewrites_little(appends):
    limit = 1000
    extents: list[int] = []
    rewritten = 0
    for added in appends:
        taken = fold(extents, added, limit)
        gathered = sum(extents[len(extents) - taken :])
        rewritten += gathered
        extents[len(extents) - taken :] = [gathered + added]
    assert sum(extents) == sum(appends)
    assert max(extents) <= limit
    assert rewritten <= sum(appends) * 11  # log2(limit) and one
    assert len(extents) <= 2 * sum(appends) / (limit / 2) + 12


def test_large_appends_are_left_alone():
    assert fold([FOLD_LIMIT, 100], FOLD_LIMIT) == 0
    assert fold([], 5) == 0
