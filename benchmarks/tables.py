"""How the benchmarks show figures: plain columns, which paste into a report as they are."""


def table(headings: list[str], rows: list[list[str]]) -> None:
    """Prints the cells in columns, and an empty line."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), flush=True)
    print(flush=True)
