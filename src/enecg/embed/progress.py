"""A progress bar with rate and count of what was skipped."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sized
from typing import TypeVar

T = TypeVar("T")


def watched(
    items: Iterable[T], total: int, skipped: Sized, show: bool = True, label: str = "Embedding"
) -> Generator[T]:
    """Pass items through and show on standard error how many of `total` have gone, how fast, and how many failed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} {task.fields[lost]}"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task(label, total=total, rate="", lost="")
        for item in items:
            yield item
            speed = progress.tasks[0].speed
            rate = f"{speed:.1f}/s" if speed else ""
            progress.update(task, advance=1, rate=rate, lost=f"{len(skipped)} skipped" if len(skipped) else "")
