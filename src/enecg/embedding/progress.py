"""A progress bar with the rate, and the count of what was skipped."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sized
from typing import TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], total: int, skipped: Sized, show: bool = True, label: str = "Embedding") -> Generator[T]:
    """Pass items through and show on standard error how many of `total` have gone, how fast, and how many failed."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    told = TextColumn("{task.fields[rate]} {task.fields[lost]}")
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), told, TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        task = progress.add_task(label, total=total, rate="", lost="")

        def show_at(done: int) -> None:
            speed = progress.tasks[0].speed
            lost = f"{len(skipped)} skipped" if len(skipped) else ""
            progress.update(task, completed=done, rate=f"{speed:.1f}/s" if speed else "", lost=lost)

        for done, item in enumerate(items, 1):
            yield item
            show_at(done)
        show_at(total)  # what was skipped without being read never came by
