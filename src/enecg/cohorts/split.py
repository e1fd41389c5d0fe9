"""Splitting by subject: folds that no subject crosses, and the check that none did."""

from __future__ import annotations

import numpy as np

from enecg.errors import InputError


def subject_folds(subjects: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Assign each recording to one of `count` folds so that no subject is in two.

    Subjects are drawn in a random order that depends on the seed and their names, not on the rows' order; those
    with most recordings are placed first, each into the fold that holds the fewest recordings.

    Args:
        subjects: `[recording]`, the unit to split by.
        count: number of folds, at least 2.
        seed: of the order.

    Returns:
        int `[recording]` in 0..count-1.

    Raises:
        InputError: there are fewer subjects than folds.
    """
    unique, index, sizes = np.unique(np.asarray(subjects, dtype=str), return_inverse=True, return_counts=True)
    if count < 2:
        raise InputError(f"{count} folds cannot be made; ask for 2 or more")
    if len(unique) < count:
        raise InputError(f"{len(unique)} subjects cannot be split into {count} folds; ask for fewer folds")
    order = np.random.default_rng(seed).permutation(len(unique))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, held = np.empty(len(unique), int), np.zeros(count, int)
    for subject in order:
        fold = int(held.argmin())
        fold_of[subject] = fold
        held[fold] += sizes[subject]
    folds: np.ndarray = fold_of[index]
    return folds


def shared_subjects(one: np.ndarray, other: np.ndarray) -> list[str]:
    """Subjects that stand on both sides of a split: must be empty."""
    return sorted(set(map(str, one)) & set(map(str, other)))
