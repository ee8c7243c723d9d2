"""The newsletter: editions cut when they are due and sent once to everybody, each step in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from publishers.digest import Digest, render
from publishers.editions import Catalog, cut, plan, recipients, revision_key, revisions_of
from publishers.message import build_message, check_parties, is_mailbox, message_id, sender_address
from publishers.transports import Envelope, Transport, transport_for
from storage.errors import ConfigError, MailDeferred, MailError, MailRefused, MailServerDown
from storage.ledger import Delivery, DeliveryState, Edition, Ledger
from storage.model import TaggedPaper
from storage.settings import Mail, Settings

_REVISIONS_MAX = 10  # told in one digest
_GIVE_UP_AFTER = timedelta(days=5)  # RFC 5321, 4.5.4.1: at least four to five days


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What became of an edition in one call. In a dry run `sent` counts what would have been sent."""

    edition_id: str
    sent: int = 0
    failed: int = 0  # refused for good
    deferred: int = 0  # still to come: the next call goes on with them
    skipped: int = 0  # nothing to tell them, or no longer on the list
    reasons: tuple[str, ...] = ()  # one line for each that failed, was put off or skipped; addresses shortened
    stopped: bool = False  # the server as a whole was out


def send_due(
    catalog: Catalog, ledger: Ledger, settings: Settings, *, now: datetime, dry_run: bool = False
) -> tuple[DeliveryReport, ...]:
    """Cut what is due today and send everything that is still pending, earlier editions first.

    Safe to call again at any time, also after a crash: what was confirmed is never sent twice, what was not is sent,
    and one message may arrive twice under one Message-ID where a crash came between the server's answer and its
    confirmation. A dry run stores and sends nothing. Raises MailDeferred where another process is sending, ConfigError.
    """
    mail = settings.mail or Mail()
    topics = [t for t in settings.topic if not mail.topics or t.slug in mail.topics]
    check_parties(mail)  # a mistake in `from` must show before anything is cut
    if dry_run:
        planned = filter(None, [plan(catalog, ledger, topic, mail, now=now) for topic in topics])
        return _send_all([*ledger.unfinished(), *planned], catalog, ledger, settings, None, now)
    with ledger.sending(), closing(transport_for(mail, settings.home)) as transport:
        for topic in topics:
            cut(catalog, ledger, topic, mail, now=now)
        return _send_all(ledger.unfinished(), catalog, ledger, settings, transport, now)


def send_named(
    edition_id: str, catalog: Catalog, ledger: Ledger, settings: Settings, *, now: datetime, dry_run: bool = False
) -> DeliveryReport:
    """Send what is pending of one edition. Raises MailError where there is none of that name; else as `send_due`."""
    edition = ledger.edition(edition_id)
    if not edition:
        newest = ", ".join(e.edition_id for e in ledger.editions(3)) or "none yet"
        raise MailError(f"there is no edition {edition_id!r}; the newest: {newest}")
    if dry_run:
        return send_edition(edition, catalog, ledger, None, settings=settings, now=now)
    with ledger.sending(), closing(transport_for(settings.mail or Mail(), settings.home)) as transport:
        return send_edition(edition, catalog, ledger, transport, settings=settings, now=now)


def send_edition(
    edition: Edition,
    catalog: Catalog,
    ledger: Ledger,
    transport: Transport | None,
    *,
    settings: Settings,
    now: datetime,
) -> DeliveryReport:
    """Reserve, send and confirm each pending delivery of an edition; without a transport only say what would happen.

    A refusal for one address does not stop the others; a server that is out stops all, and the next call goes on.
    """
    sending = _Sending(edition, catalog, ledger, transport, settings, now)
    pending = ledger.pending(edition.edition_id)
    if not pending and not ledger.edition(edition.edition_id):  # planned only
        pending = tuple(_planned(edition, address) for address in recipients(sending.mail))
    return sending.deliver_all(pending)


class _Sending:
    """One edition being sent: its papers and revisions at hand, each different digest rendered once."""

    def __init__(
        self,
        edition: Edition,
        catalog: Catalog,
        ledger: Ledger,
        transport: Transport | None,
        settings: Settings,
        now: datetime,
    ) -> None:
        self.edition, self.ledger, self.transport, self.now = edition, ledger, transport, now
        self.mail, self.site = settings.mail or Mail(), settings.site
        self.listed = frozenset(recipients(self.mail))
        self.topic = next((t for t in settings.topic if t.slug == edition.topic), None)
        self.papers = _by_id(catalog.papers(edition.paper_ids))
        self.revisions = {revision_key(r): r for r in revisions_of(catalog, edition)}
        self.rendered: dict[tuple[tuple[str, ...], int], Digest] = {}

    def deliver_all(self, pending: Sequence[Delivery]) -> DeliveryReport:
        """Deliver each of `pending` and count what became of them."""
        report = DeliveryReport(edition_id=self.edition.edition_id)
        for number, delivery in enumerate(pending):
            try:
                report = self._counted(report, delivery)
            except MailServerDown as error:
                left = len(pending) - number
                return replace(
                    report, deferred=report.deferred + left, reasons=(*report.reasons, str(error)), stopped=True
                )
        return report

    def _counted(self, report: DeliveryReport, delivery: Delivery) -> DeliveryReport:
        try:
            reason = self._deliver(delivery)
            if reason is None:
                return replace(report, sent=report.sent + 1)
            counted = replace(report, skipped=report.skipped + 1)
        except MailServerDown:
            raise
        except MailDeferred as error:
            reason, counted = str(error), replace(report, deferred=report.deferred + 1)
        except MailRefused as error:
            reason, counted = str(error), replace(report, failed=report.failed + 1)
        return replace(counted, reasons=(*report.reasons, _about(delivery.address, reason)))

    def _deliver(self, delivery: Delivery) -> str | None:
        """Send one message; return why it was skipped, or None. Raises MailError, after the ledger knows of it."""
        skip = self._not_wanted(delivery)
        composed = None if skip else self._compose(delivery)
        if composed is None:
            reason = skip or "all of it was mailed before"
            self._skip(delivery, reason)
            return reason
        digest, contents = composed
        mid = delivery.message_id or message_id(self.edition, delivery.address, mail=self.mail, site=self.site)
        content = build_message(
            digest, mail=self.mail, address=delivery.address, edition=self.edition, site=self.site, message_id=mid
        )
        if not self.transport:
            return None
        key = (delivery.edition_id, delivery.address)
        if not self.ledger.reserve(*key, message_id=mid, contents=contents, more=digest.more, now=self.now):
            return "it is finished already"
        self._send(delivery, self.transport, content)
        self.ledger.confirm(*key, now=self.now)
        return None

    def _send(self, delivery: Delivery, transport: Transport, content: bytes) -> None:
        """Hand over a reserved message. Raises MailError, after the ledger knows why."""
        envelope = Envelope(
            sender=sender_address(self.mail),
            address=delivery.address,
            day=self.edition.day,
            topic=self.edition.topic,
        )
        try:
            transport.send(content, envelope)
        except MailError as error:
            told = self._given_up(delivery, error)
            self.ledger.fail(
                delivery.edition_id,
                delivery.address,
                reason=str(told),
                permanent=isinstance(told, MailRefused),
                in_doubt=delivery.state is DeliveryState.RESERVED,
            )
            raise told from error

    def _given_up(self, delivery: Delivery, error: MailError) -> MailError:
        """Return `error`, as a refusal where this address has been put off for too long."""
        since = delivery.reserved_at or self.now
        if isinstance(error, MailRefused | MailServerDown) or self.now - since < _GIVE_UP_AFTER:
            return error
        return MailRefused(f"given up after {delivery.attempts + 1} attempts: {error}")

    def _not_wanted(self, delivery: Delivery) -> str | None:
        if delivery.address not in self.listed:
            return "no longer on the list"
        if not is_mailbox(delivery.address):
            return "not an address that can be written without quoting or SMTPUTF8"
        return None if self.topic else f"the topic {self.edition.topic} is no longer configured"

    def _skip(self, delivery: Delivery, reason: str) -> None:
        if not self.transport:
            return
        if delivery.state is DeliveryState.DUE:
            self.ledger.skip(delivery.edition_id, delivery.address, reason=reason)
        else:
            self.ledger.fail(delivery.edition_id, delivery.address, reason=reason, permanent=True, in_doubt=True)

    def _compose(self, delivery: Delivery) -> tuple[Digest, tuple[str, ...]] | None:
        """Return the digest for one address and what it tells; None where nothing is left to tell.

        What was reserved once is told again as it was, so that a second copy is a copy.
        """
        if delivery.state is DeliveryState.RESERVED:
            contents, more = delivery.contents, delivery.more
        else:
            contents, more = self._fresh(delivery.address)
        known = tuple(key for key in contents if key in self.papers or key in self.revisions)
        if not known:
            return None
        digest = self._render(known, more)
        revisions = tuple(key for key in known if key in self.revisions)
        return digest, (*digest.papers, *revisions)

    def _fresh(self, address: str) -> tuple[tuple[str, ...], int]:
        """Return what of the edition is new to an address, as much as one digest holds, and how much is left over."""
        names = {p: {p, *tagged.paper.aliases} for p, tagged in self.papers.items()}
        keys = [*set().union(*names.values()), *self.revisions, *(r.paper.paper_id for r in self.revisions.values())]
        told = self.ledger.already_mailed(address, keys)
        papers = [p for p in self.edition.paper_ids if p in names and told.isdisjoint(names[p])]
        revisions = [k for k, r in self.revisions.items() if k not in told and r.paper.paper_id in told]
        shown = papers[: self.mail.papers_max]
        more = len(papers) - len(shown) + self.edition.total - len(self.edition.paper_ids)
        return (*shown, *revisions[:_REVISIONS_MAX]), more

    def _render(self, contents: tuple[str, ...], more: int) -> Digest:
        if not self.topic:
            raise ConfigError(f"the topic {self.edition.topic!r} is not configured")
        if (contents, more) not in self.rendered:
            papers = [self.papers[key] for key in contents if key in self.papers]
            revisions = [self.revisions[key] for key in contents if key in self.revisions]
            self.rendered[contents, more] = render(
                self.edition, papers, revisions, site=self.site, topic=self.topic, more=more
            )
        return self.rendered[contents, more]


def _send_all(
    editions: Iterable[Edition],
    catalog: Catalog,
    ledger: Ledger,
    settings: Settings,
    transport: Transport | None,
    now: datetime,
) -> tuple[DeliveryReport, ...]:
    """Send one edition after the other; once the server is out, only count what waits."""
    reports: list[DeliveryReport] = []
    for edition in editions:
        if reports and reports[-1].stopped:
            waiting, why = len(ledger.pending(edition.edition_id)), reports[-1].reasons[-1:]
            reports.append(DeliveryReport(edition_id=edition.edition_id, deferred=waiting, reasons=why, stopped=True))
        else:
            reports.append(send_edition(edition, catalog, ledger, transport, settings=settings, now=now))
    return tuple(reports)


def _by_id(papers: Iterable[TaggedPaper]) -> dict[str, TaggedPaper]:
    return {tagged.paper.paper_id: tagged for tagged in papers}


def _planned(edition: Edition, address: str) -> Delivery:
    return Delivery(
        edition_id=edition.edition_id,
        address=address,
        state=DeliveryState.DUE,
        message_id=None,
        contents=(),
        more=0,
        attempts=0,
        reserved_at=None,
        confirmed_at=None,
        reason=None,
    )


def _about(address: str, reason: str) -> str:
    """Return a line for reports and logs, in which whole addresses have no place."""
    local, _, domain = address.rpartition("@")
    short = f"{local[:1]}…@{domain}"
    return f"{short}: {reason.replace(address, short)}"
