"""Push: the hub is told of every feed that changed, webhooks of every new paper; each step is in the ledger.

Reserve, send, confirm, as with mail. What is in doubt after a crash is sent again under the same id, which stands in
the message and in its headers, so that the receiver can tell. A failure here costs nobody else anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import quote, urlsplit

from publishers import websub
from publishers.push_content import Found, message_of, new_papers, papers_since, trial_message
from publishers.push_shapes import Request, Target, shaped
from storage.catalog import Catalog
from storage.errors import PaperwireError, PushError
from storage.pushes import Push, Pushes, Told
from storage.settings import Settings, Site, Topic, Webhook

PINGS_MAX = 500  # in one push; the next goes on
REFUSALS_MAX = 5  # one after the other, and a webhook rests
REST = timedelta(days=1)
DELAY_SECONDS, DELAY_SECONDS_MAX = 60.0, 21_600.0  # before the second attempt, times four each time, up to six hours
_MESSAGES_MAX = 3  # to one webhook in one push: what waited, and what came meanwhile
_PAPERS_MAX = 5_000  # looked at where an archive was put back
_REASON_CHARACTERS_MAX = 200
_SECRET_SEGMENT_CHARACTERS = 10  # a part of a URL of this length may be a key
_AGAIN = frozenset([408, 425, 429])
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `said` is the beginning of the body, untrusted."""

    status: int
    said: str = ""
    retry_after_seconds: float | None = None


class Post(Protocol):
    """Sends one request and follows no redirect. Raises PushError where no answer came, with no secret in it."""

    def __call__(self, request: Request, *, allow_private_addresses: bool) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PingReport:
    """What became of the pings to the hub."""

    pinged: int = 0
    waiting: int = 0
    reason: str | None = None  # why the last one failed


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookReport:
    """What became of one webhook."""

    name: str
    sent: int = 0  # messages; in a dry run those that would be sent
    papers: int = 0  # in them, the linked ones too
    waiting: int = 0
    refused: int = 0
    began: bool = False  # it is new: it is told of what comes from now on
    resting: bool = False
    reason: str | None = None

    @property
    def well(self) -> bool:
        """Whether nothing is left to send and nothing went wrong."""
        return not (self.waiting or self.refused or self.resting or self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What one push did."""

    pings: PingReport = PingReport()
    webhooks: tuple[WebhookReport, ...] = ()
    trouble: str | None = None  # why nothing, or not all of it, was done

    @property
    def well(self) -> bool:
        """Whether everybody has what they are to get."""
        return not self.trouble and not self.pings.waiting and all(w.well for w in self.webhooks)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to say of it."""
        busy = any(w.sent or w.began for w in self.webhooks)
        return self.well and not busy and not self.pings.pinged


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What a push works with: where the site stands, how requests leave, where secrets come from, what time it is."""

    settings: Settings
    topics: Sequence[Topic]
    published_seq: int  # papers of later commits have no page yet
    post: Post
    environ: Mapping[str, str]
    now: datetime


def push_all(catalog: Catalog, pushes: Pushes, wire: Wire) -> PushReport:
    """Tell the hub and every webhook what they do not know yet. The caller holds `pushes.pushing()`."""
    pings, trouble = PingReport(), None
    try:
        pings = ping_hub(pushes, wire) if wire.settings.site.hub else pings
    except PaperwireError as error:  # the webhooks are told all the same
        trouble = f"hub: {redacted(str(error), {})}"
    reports = tuple(push_webhook(webhook, catalog, pushes, wire) for webhook in wire.settings.webhook)
    return PushReport(pings=pings, webhooks=reports, trouble=trouble)


# -- the hub ------------------------------------------------------------------------------------------------------


def ping_hub(pushes: Pushes, wire: Wire) -> PingReport:
    """Tell the hub of every feed that changed since it was told; a hub that is out is asked again later."""
    site, folder, now = wire.settings.site, wire.settings.home / "site", wire.now
    websub.look_at_feeds(pushes, site, folder, now=now)
    feeds = websub.waiting(pushes.feeds(site.hub), site, folder)
    due = [feed for feed in feeds if feed.due_at is None or feed.due_at <= now][:PINGS_MAX]
    report, secrets = PingReport(waiting=len(feeds)), secrets_of(site.hub)
    for start in range(0, len(due), site.hub_urls_max):
        some = due[start : start + site.hub_urls_max]
        urls, wanted = [feed.url for feed in some], {feed.url: feed.wanted for feed in some}
        pushes.reserve_pings(site.hub, urls)
        attempts = 1 + max(feed.attempts for feed in some)
        reason, seconds = _asked(websub.ping(site.hub, urls), site, wire, secrets, attempts)
        if reason is None:
            pushes.confirm_pings(site.hub, wanted, now=now)
            report = replace(report, pinged=report.pinged + len(urls), waiting=report.waiting - len(urls))
            continue
        report = replace(report, reason=reason)
        again_at = now + timedelta(seconds=seconds or DELAY_SECONDS_MAX)
        if seconds is None:  # it wants no ping of these; the others may fare better
            pushes.put_off_pings(site.hub, urls, due_at=again_at, reason=reason)
        else:  # it is out: none would fare better now
            pushes.put_off_pings(site.hub, [feed.url for feed in feeds], due_at=again_at, reason=reason)
            break
    return report


def _asked(
    request: Request, site: Site, wire: Wire, secrets: Mapping[str, str], attempts: int
) -> tuple[str | None, float | None]:
    """Ping once: (None, …) where the hub took it; else why not, and in how many seconds to ask again, if at all."""
    try:
        answer = wire.post(request, allow_private_addresses=site.allow_private_addresses)
    except PushError as error:
        return redacted(str(error), secrets), delay_seconds(attempts)
    if 200 <= answer.status < 300:
        return None, None
    return said_no(answer, secrets), delay_seconds(attempts, answer) if comes_again(answer.status) else None


# -- webhooks -----------------------------------------------------------------------------------------------------


def push_webhook(webhook: Webhook, catalog: Catalog, pushes: Pushes, wire: Wire) -> WebhookReport:
    """Send a webhook the message that waits for it, and what has come since; failures are in the report."""
    told, until = pushes.told(webhook.name), min(catalog.latest_seq(), wire.published_seq)
    report = WebhookReport(name=webhook.name)
    if told is None:
        pushes.begin(webhook.name, seq=until, now=wire.now)
        return replace(report, began=True)
    if told.rests_until and wire.now < told.rests_until:
        return replace(report, resting=True, reason=told.reason)
    try:
        for _ in range(_MESSAGES_MAX):
            message = pushes.open_message(webhook.name) or _cut(webhook, catalog, pushes, wire, until)
            if message is None:
                break
            if message.due_at > wire.now:
                return replace(report, waiting=1, reason=told.reason)
            report, finished = _send(message, webhook, catalog, pushes, wire, report)
            if not finished or report.resting:
                break
    except PaperwireError as error:
        reason = redacted(str(error), {})
        pushes.note(webhook.name, reason)
        return replace(report, reason=reason)
    return report


def plan_webhook(webhook: Webhook, catalog: Catalog, pushes: Pushes | None, wire: Wire) -> WebhookReport:
    """Say what `push_webhook` would do; stores and sends nothing. `pushes` is None where nothing was ever pushed."""
    told, until = pushes.told(webhook.name) if pushes else None, min(catalog.latest_seq(), wire.published_seq)
    report = WebhookReport(name=webhook.name)
    if told is None or pushes is None:
        return replace(report, began=True)
    if told.rests_until and wire.now < told.rests_until:
        return replace(report, resting=True, reason=told.reason)
    message = pushes.open_message(webhook.name)
    if message:
        return replace(report, sent=1, papers=len(message.contents) + message.more, reason=told.reason)
    try:
        found = _fresh(webhook, told, catalog, pushes, wire, until)
    except PaperwireError as error:
        return replace(report, reason=redacted(str(error), {}))
    told_of = len(found.papers) + len(found.revisions)
    return replace(report, sent=int(told_of > 0), papers=told_of)


def send_trial(webhook: Webhook, wire: Wire, pushes: Pushes) -> WebhookReport:
    """Send a webhook one message that only shows that messages arrive; where it does, the webhook rests no longer."""
    message = trial_message(webhook, wire.settings, push_id=f"pw-test-{int(wire.now.timestamp())}", now=wire.now)
    reason = None
    secrets: Mapping[str, str] = secrets_of(webhook.url)
    try:
        target, secrets = target_of(webhook, wire.environ)
        request = shaped(message, target, now=wire.now)
        answer = wire.post(request, allow_private_addresses=webhook.allow_private_addresses)
        reason = None if 200 <= answer.status < 300 else said_no(answer, secrets)
    except PushError as error:
        reason = redacted(str(error), secrets)
    if reason is None:
        pushes.wake(webhook.name)
    return WebhookReport(name=webhook.name, sent=int(reason is None), reason=reason)


def _cut(webhook: Webhook, catalog: Catalog, pushes: Pushes, wire: Wire, until: int) -> Push | None:
    """Freeze the next message of a webhook: all that is new to it up to commit `until`; None where nothing is."""
    told = pushes.told(webhook.name)
    if told is None or told.until_seq == until:
        return None
    found = _fresh(webhook, told, catalog, pushes, wire, until)
    contents, rest = found.split(webhook.papers_max)
    from_seq = min(told.until_seq, until)
    return pushes.cut(webhook.name, from_seq=from_seq, to_seq=until, contents=contents, rest=rest, now=wire.now)


def _fresh(webhook: Webhook, told: Told, catalog: Catalog, pushes: Pushes, wire: Wire, until: int) -> Found:
    """What is new to a webhook, under whatever id it was told of before."""
    if told.until_seq > until:  # an archive put back from a backup: its numbers are given out anew, so go by time
        since = told.cut_at
        found = papers_since(webhook, catalog, wire.settings, since=since, limit=_PAPERS_MAX, now=wire.now)
    else:
        span = {"after_seq": told.until_seq, "until_seq": until}
        found = new_papers(webhook, catalog, wire.settings, **span, now=wire.now)
    names = {t.paper.paper_id: {t.paper.paper_id, *t.paper.aliases} for t in found.papers}
    known = pushes.already_told(webhook.name, sorted(set().union(*names.values())))
    return replace(found, papers=tuple(t for t in found.papers if known.isdisjoint(names[t.paper.paper_id])))


def _send(
    message: Push, webhook: Webhook, catalog: Catalog, pushes: Pushes, wire: Wire, report: WebhookReport
) -> tuple[WebhookReport, bool]:
    """Reserve, send, confirm one message; the report with what came of it, and whether it is finished."""
    told = message_of(message, webhook, catalog, wire.settings, wire.topics)
    if not told.lines:
        pushes.skip(message, reason="nothing of what it tells is left")
        return report, True
    secrets: Mapping[str, str] = secrets_of(webhook.url)
    try:
        target, secrets = target_of(webhook, wire.environ)
        request = shaped(told, target, now=wire.now)
        pushes.reserve(message.push_id)
        answer = wire.post(request, allow_private_addresses=webhook.allow_private_addresses)
    except PushError as error:
        return _put_off(message, redacted(str(error), secrets), None, pushes, wire, report), False
    if 200 <= answer.status < 300:
        pushes.confirm(message, now=wire.now)
        return replace(report, sent=report.sent + 1, papers=report.papers + len(told.lines) + told.more), True
    reason = said_no(answer, secrets)
    if comes_again(answer.status):
        return _put_off(message, reason, answer, pushes, wire, report), False
    return _refuse(message, reason, pushes, wire, report), True


def _put_off(
    message: Push, reason: str, answer: Answer | None, pushes: Pushes, wire: Wire, report: WebhookReport
) -> WebhookReport:
    due_at = wire.now + timedelta(seconds=delay_seconds(message.attempts + 1, answer))
    pushes.put_off(message, due_at=due_at, reason=reason)
    return replace(report, waiting=report.waiting + 1, reason=reason)


def _refuse(message: Push, reason: str, pushes: Pushes, wire: Wire, report: WebhookReport) -> WebhookReport:
    told = pushes.told(message.webhook)
    rests = told is not None and told.refused + 1 >= REFUSALS_MAX
    pushes.refuse(message, reason=reason, rests_until=wire.now + REST if rests else None)
    return replace(report, refused=report.refused + 1, resting=rests, reason=reason)


# -- what answers mean, and what must not be said ---------------------------------------------------------------------


def comes_again(status: int) -> bool:
    """Whether a message that got this answer is sent again."""
    return status in _AGAIN or status >= 500


def delay_seconds(attempts: int, answer: Answer | None = None) -> float:
    """How long to wait after so many attempts: 1, 4, 16, 64 min …; longer where the receiver asks for it."""
    ours = min(DELAY_SECONDS * 4.0 ** min(attempts - 1, 8), DELAY_SECONDS_MAX)
    return max(ours, answer.retry_after_seconds or 0.0) if answer else ours


def said_no(answer: Answer, secrets: Mapping[str, str]) -> str:
    """Say in one line what a receiver answered."""
    if 300 <= answer.status < 400:
        return (
            f"HTTP {answer.status}: it sends us elsewhere, and redirects are not followed; put the new address into url"
        )
    said = redacted(answer.said, secrets)
    return f"HTTP {answer.status}" + (f": {said}" if said else "")


def target_of(webhook: Webhook, environ: Mapping[str, str]) -> tuple[Target, Mapping[str, str]]:
    """Return the webhook with its secrets, and what must not be told. Raises PushError where one is not there."""
    settings = (webhook.url, webhook.secret, webhook.token, webhook.chat, webhook.room)
    names = [name for text in settings for name in _VARIABLE.findall(text)]
    missing = next((name for name in names if not environ.get(name)), None)
    if missing:
        raise PushError(f"the environment has no {missing}, which the webhook names")
    url, secret, token, chat, room = (_VARIABLE.sub(lambda m: environ[m[1]].strip(), text) for text in settings)
    if not url.startswith(("http://", "https://")) or any(c <= " " or c == "\x7f" for c in url + token):
        raise PushError("its url or token, with the environment put in, is none")
    target = Target(shape=webhook.shape, url=url, secret=secret, token=token, chat=chat, room=room)
    return target, secrets_of(url, environ, names)


def secrets_of(url: str, environ: Mapping[str, str] | None = None, names: Iterable[str] = ()) -> dict[str, str]:
    """Return what must be in no output, with what stands there instead; the parts of a URL may be keys too."""
    values = {environ[name].strip(): f"${{{name}}}" for name in names} if environ else {}
    try:
        parts = urlsplit(url)
        pieces = [*parts.path.split("/"), *re.split(r"[&=]", parts.query), parts.username, parts.password]
    except ValueError:
        pieces = []
    long = [piece for piece in pieces if piece and len(piece) >= _SECRET_SEGMENT_CHARACTERS]
    return dict.fromkeys(long, "…") | {value: name for value, name in values.items() if value}


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """Return `text` on one line of bounded length, without the secrets, however they are spelled in it."""
    line = " ".join(text.split())
    for secret in sorted(secrets, key=len, reverse=True):
        for spelled in dict.fromkeys((secret, quote(secret, safe=""), quote(secret))):
            line = line.replace(spelled, secrets[secret])
    line = "".join(c for c in line if c.isprintable())
    return line if len(line) <= _REASON_CHARACTERS_MAX else line[: _REASON_CHARACTERS_MAX - 1] + "…"
