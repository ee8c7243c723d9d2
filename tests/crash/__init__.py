"""What a crash may not do to the archive, counted: kills, power cuts, failing calls, flipped bits, racing readers.

`python -m tests.crash` runs everything and prints a table; the test files run a share of it.
"""
