"""Several at once: readers that ask papers.duckdb in a loop while commits and compactions go on, and two writers."""

from __future__ import annotations

from pathlib import Path

from tests.crash.report import Row
from tests.crash.scenes import checked
from tests.crash.workers import Workers

_READERS = 2


def read_while_writing(workers: Workers, folder: Path, *, commits: int) -> Row:
    """Two processes count papers and sightings in a loop during so many commits, each published, and compactions."""
    compact_every = commits // 5
    row, home = Row(f"readers during {commits:,} commits and {5 if compact_every else 0} compactions"), folder / "home"
    workers.do("ingest", home, first=0, until=1, publish=True)
    readers = [workers.start("count", home, steps=commits).go() for _ in range(_READERS)]
    written = workers.run("ingest", home, first=1, until=commits, publish=True, compact_every=compact_every)
    row.take("the writer", {}, written.traceback or written.error)
    for reader in readers:
        if written.error or written.traceback:
            reader.kill()
        read = reader.outcome()
        row.points += read.result.get("asked", 0)
        row.take("a reader", {"faults": read.result.get("wrong", [])}, read.traceback or read.error)
        if read.status:
            row.faults.append(f"a reader died with status {read.status}")
    row.take("afterwards", checked(workers.run("check", home, acknowledged=commits, until=commits + 1)))
    row.killed = len(written.acknowledged)
    row.note = f"{row.points:,} queries"
    return row.done()


def write_at_once(workers: Workers, folder: Path, *, steps: int, same: bool) -> Row:
    """Two ingests at once: of different papers, or of the very same batches, which then count once."""
    row, home = Row(f"two ingests at once of {'the same' if same else 'different'} batches"), folder / "home"
    streams = (0, 0) if same else (0, 1)
    writers = [
        workers.start("ingest", home, first=0, until=steps, stream=stream, plain=True, publish=True).go()
        for stream in streams
    ]
    for writer in writers:
        written = writer.outcome()
        row.points += len(written.acknowledged)
        row.take("a writer", {}, written.traceback or written.error)
        if len(written.acknowledged) != steps:
            row.faults.append(f"a writer has acknowledged {len(written.acknowledged)} of {steps} steps")
    row.killed = row.points
    row.take("afterwards", checked(workers.run("check mixed", home, steps=steps, streams=sorted(set(streams)))))
    return row.done()
