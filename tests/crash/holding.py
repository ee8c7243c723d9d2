"""What a test asks of a row of the crash table."""

from __future__ import annotations

import pytest

from tests.crash.report import Row


def hold(row: Row) -> None:
    """Nothing lost, nothing doubled, nothing wrong; or skip with the reason."""
    if row.skipped:
        pytest.skip(row.skipped)
    assert not row.failed, row.summary()
