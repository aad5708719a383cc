"""Markdown tables that are also aligned as plain text."""

from collections.abc import Sequence

from tabulate import tabulate


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, names in its first column and figures in the others.

    Args:
        header: One name per column.
        rows: One text per cell, shown as it is.
    """
    escaped = [[cell.replace("|", r"\|") for cell in row] for row in (header, *rows)]
    align = ("left", *["right"] * (len(header) - 1))
    table = tabulate(
        escaped[1:], escaped[0], tablefmt="pipe", colalign=align, disable_numparse=True
    )
    return f"{table}\n"
