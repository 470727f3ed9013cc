"""Does each query head still meet the KV head it was trained with?"""

from __future__ import annotations

from prunescope.analysis.trace.results import PADDING, HeadPair, Pairing, SpaceTrace


def pair_heads(heads: SpaceTrace, kv_heads: SpaceTrace) -> Pairing | None:
    """Pair the query heads that are left with KV heads, then and now.

    Grouped-query attention gives query head i of H the KV head i // (H / K) of K
    (https://arxiv.org/abs/2305.13245), so that head counts alone decide who meets whom.

    Returns:
        None where it is not known which heads are left.
    """
    spaces = (heads, kv_heads)
    if not all(space.whole and space.kept and not space.untraced for space in spaces):
        return None
    if heads.original % kv_heads.original or len(heads.kept) % len(kv_heads.kept):
        return Pairing((), even=False)
    before = heads.original // kv_heads.original
    now = len(heads.kept) // len(kv_heads.kept)
    return Pairing(
        tuple(
            HeadPair(position, head, head // before, kv_heads.kept[position // now])
            for position, head in enumerate(heads.kept)
            if head != PADDING
        ),
        even=True,
    )
