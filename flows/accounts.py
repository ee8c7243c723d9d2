"""What a flow run says of itself in Prefect's pages: one line for its state, a few lines of Markdown as its artifact.

Everything a source or a mail server wrote is shown as plain text, and no address leaves the house.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flows.enriching import CountReport
from flows.pipeline import SourceReport
from flows.upkeep import MaintainReport
from publishers.mail import DeliveryReport
from publishers.push import PushReport
from publishers.site import PublishReport

_LINES_MAX = 20
_LINE_CHARACTERS_MAX = 300
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#|!~&])")
_ADDRESS = re.compile(r"\S*@\S*")


def ingest_line(report: SourceReport) -> str:
    """Say in one line what a read brought."""
    if not report.ok:
        return report.error or "it failed without a reason"
    counts = ((report.new, "new"), (report.revised, "revised"), (report.other, "other"), (report.rejected, "refused"))
    said = ", ".join(f"{count} {word}" for count, word in counts if count) or "nothing new"
    lost = len(report.trouble)
    trouble = f"; {lost} {'problem' if lost == 1 else 'problems'}" if lost else ""
    return f"{said} of {report.entries} entries{trouble}"


def ingest_account(report: SourceReport, site_url: str) -> str:
    """Tell what a read brought, what it lost, and where readers find it."""
    rows = (
        ("entries", report.entries),
        ("new", report.new),
        ("revised", report.revised),
        ("other announcements", report.other),
        ("refused", report.rejected),
        ("requests", report.requests),
        ("bytes on the wire", f"{report.wire_bytes:,}"),
        ("seconds", f"{report.elapsed_seconds:.1f}"),
        ("segment", "none" if report.seq is None else report.seq),
    )
    table = ["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]
    failed = [] if report.ok else [f"**It failed:** {plain(report.error or '')}", ""]
    return "\n".join(
        [
            f"### {plain(report.source)}",
            "",
            *failed,
            *table,
            *_list("Problems", report.trouble),
            *_list("Notes", report.notes),
            "",
            f"[The site]({site_url})",
        ]
    )


def publish_line(report: PublishReport) -> str:
    """Say in one line what a publish did."""
    if not report.files_written:
        return f"nothing to do: the site is up to date with segment {report.seq}"
    return f"{report.files_written} files written for {report.papers} papers, up to segment {report.seq}"


def publish_account(report: PublishReport, site_url: str) -> str:
    """Tell which feeds and how many pages were made again."""
    feeds = [f"- [{plain(slug)}]({site_url}topics/{slug}.html)" for slug in report.topics]
    return "\n".join(
        [
            f"### {publish_line(report)}",
            "",
            f"{report.files_unchanged} files were made again and came out the same.",
            *(["", "Topics made again:", "", *feeds] if feeds else []),
            *_list("Left out", report.left_out),
            "",
            f"[The site]({site_url})",
        ]
    )


def delivery_line(report: DeliveryReport) -> str:
    """Say in one line what became of an edition."""
    counts = ((report.deferred, "deferred"), (report.failed, "refused"), (report.skipped, "skipped"))
    return f"{report.edition_id}: " + ", ".join(
        [f"{report.sent} sent", *(f"{count} {word}" for count, word in counts if count)]
    )


def delivery_account(report: DeliveryReport) -> str:
    """Tell what became of an edition, in numbers and reasons only."""
    counts = (report.sent, report.deferred, report.failed, report.skipped)
    rows = zip(("sent", "deferred", "refused", "skipped"), counts, strict=True)
    table = ["| | |", "|---|---:|", *(f"| {name} | {count} |" for name, count in rows)]
    reasons = [without_addresses(reason) for reason in report.reasons]
    return "\n".join([f"### {plain(report.edition_id)}", "", *table, *_list("Reasons", reasons)])


def push_line(report: PushReport) -> str:
    """Say in one line whom a push told of what."""
    sent, papers = sum(w.sent for w in report.webhooks), sum(w.papers for w in report.webhooks)
    waiting = sum(w.waiting for w in report.webhooks) + report.pings.waiting
    refused, resting = sum(w.refused for w in report.webhooks), sum(w.resting for w in report.webhooks)
    parts = [f"{report.pings.pinged} feeds pinged"] if report.pings.pinged else []
    parts += [f"{sent} messages of {papers} papers sent"] if sent else []
    began = sum(w.began for w in report.webhooks)
    parts += [f"{began} new webhooks begin now"] if began else []
    counts = ((waiting, "waiting"), (refused, "refused"), (resting, "at rest"))
    parts += [f"{count} {word}" for count, word in counts if count]
    return ", ".join(parts) or "nothing to push"


def push_troubles(report: PushReport) -> list[str]:
    """Say what went wrong in a push, and which webhooks are new, a line each."""
    lines = [report.trouble] if report.trouble else []
    lines += [f"hub: {report.pings.reason}"] if report.pings.reason else []
    lines += [f"{w.name}: is new, and is told of what comes from now on" for w in report.webhooks if w.began]
    resting = "rests after so many refusals: "
    return lines + [f"{w.name}: {resting if w.resting else ''}{w.reason}" for w in report.webhooks if w.reason]


def push_account(report: PushReport) -> str:
    """Tell what became of the hub and of each webhook, in numbers and reasons only."""
    rows = [(w.name, w.sent, w.papers, w.waiting, w.refused) for w in report.webhooks]
    table = ["| webhook | messages | papers | waiting | refused |", "|---|---:|---:|---:|---:|"]
    table += [f"| {plain(name)} | {' | '.join(map(str, counts))} |" for name, *counts in rows]
    return "\n".join([f"### {push_line(report)}", "", *(table if rows else []), *_list("Notes", push_troubles(report))])


def maintain_line(report: MaintainReport) -> str:
    """Say in one line what a night's maintenance did and found."""
    faults = report.verification.faults
    if faults:
        more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
        return f"the archive is damaged: {faults[0]}{more}"
    merged = f"merged {report.compacted.compaction.files} files; " if report.compacted.compaction else ""
    return f"{merged}all {report.verification.papers:,} papers are as committed"


def maintain_account(report: MaintainReport) -> str:
    """Tell what was merged, deleted, forgotten and verified, and every fault."""
    found, compacted = report.verification, report.compacted
    rows = (
        ("papers", found.papers),
        ("commits", found.segments),
        ("files", found.files),
        ("files merged", compacted.compaction.files if compacted.compaction else 0),
        ("files deleted", compacted.files_deleted),
        ("files that wait a day to be deleted", compacted.files_retired),
        ("records forgotten", report.forgotten),
    )
    table = ["| | |", "|---|---:|", *(f"| {name} | {value:,} |" for name, value in rows)]
    counts = [*map(count_line, report.counts), *([report.uncounted] if report.uncounted else [])]
    faults = _list("Faults", found.faults)
    return "\n".join([f"### {plain(maintain_line(report))}", "", *table, *_list("Counts", counts), *faults])


def count_line(report: CountReport) -> str:
    """Say in one line what asking a provider of counts brought."""
    if report.error:
        return f"{report.provider}: {report.error}"
    lost = len(report.problems)
    trouble = f"; {lost} {'problem' if lost == 1 else 'problems'}" if lost else ""
    counts = ((report.asked, "asked"), (report.known, "known"), (report.changed, "changed"), (report.left, "left"))
    return f"{report.provider}: " + ", ".join(f"{count:,} {word}" for count, word in counts) + trouble


def artifact_key(*parts: str) -> str:
    """Return a key as Prefect takes it: lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def plain(text: str) -> str:
    """Return `text` on one line of bounded length, with nothing in it that Markdown or HTML would act on."""
    line = " ".join(text.split())
    shown = line if len(line) <= _LINE_CHARACTERS_MAX else line[: _LINE_CHARACTERS_MAX - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", shown)


def without_addresses(text: str) -> str:
    """Return `text` with every e-mail address, also a shortened one, taken out."""
    return _ADDRESS.sub("(address)", text)


def _list(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"- … and {len(lines) - _LINES_MAX} more"] if len(lines) > _LINES_MAX else []
    return ["", f"{title}:", "", *(f"- {plain(line)}" for line in lines[:_LINES_MAX]), *more]
