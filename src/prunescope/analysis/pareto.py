"""Which of several models does no other beat? The Pareto front of size and quality."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Indices of the points that no other is at least as low as in both values, and lower in one.

    Args:
        points: finite pairs, of which less is better: parameters and perplexity.

    Returns:
        By rising first value; of equal points all.
    """

    def is_beaten(point: tuple[float, float]) -> bool:
        return any(
            other[0] <= point[0] and other[1] <= point[1] and other != point for other in points
        )

    best = [index for index, point in enumerate(points) if not is_beaten(point)]
    return tuple(sorted(best, key=lambda index: points[index]))
