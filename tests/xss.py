"""Every payload in every field of every output, in Chromium with its content policy off: `python -m tests.xss`.

Pages are loaded many at a time, each in a frame of its own. Three things would be a fault: a script that ran (it calls
`hit`), a request to anywhere but our own server, and an element or attribute that no page of ours has. What only runs
when somebody clicks is clicked.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, sync_playwright

from bench.screenshots import chromium
from tests.payloads import payloads
from tests.xss_outputs import Output, outputs

FRAMES_AT_ONCE = 40
_CANARY = """
window.hit = (n) => { console.log("HIT " + n); };
window.alert = window.confirm = window.prompt = () => window.hit(2);
"""
# What stands in each frame that no page of ours has; then everything that waits for a hand is used.
_LOOK = r"""(all) => all.outputs.map((output, number) => {
  const found = [];
  let doc;
  try {
    const here = window.frames[number];
    doc = here.document;
    const stays = output.refresh || here.location.pathname.endsWith("/" + number + ".html");
    if (!stays) return ["it led on to " + here.location];
  } catch (error) {
    return output.refresh ? [] : ["it led on to another host"];
  }
  const links = /^(href|src|action|formaction|data|poster|background|xlink:href|cite|ping)$/i;
  const loads = /^(src|srcset|poster|background|data|style)$/i;
  const bad = /^[\s\x00-\x20]*(?!https?:|mailto:|#)[a-z][a-z0-9+.-]*:/i;
  const elements = [...doc.querySelectorAll("*")];
  for (const e of elements) {
    const name = e.localName;
    const own = e.type === "application/ld+json" || /static\/search\.js$/.test(e.src);
    if (all.never.includes(name)) found.push("<" + name + ">");
    if (name === "script" && !own) found.push("<script>");
    if (name === "use" && !/^#/.test(e.getAttribute("href"))) found.push("<use>");
    if (name === "form" && e.id !== "ask") found.push("<form>");
    if (name === "meta" && e.httpEquiv === "refresh" && !output.refresh) found.push("<meta refresh>");
    if (name === "style" && !output.style) found.push("<style>");
    for (const a of e.attributes) {
      if (/^on/i.test(a.name) || a.name === "srcdoc") found.push(a.name);
      if (links.test(a.name) && bad.test(a.value)) found.push(a.name + "=" + a.value.slice(0, 40));
      if (loads.test(a.name) && /evil\.test/.test(a.value)) found.push(a.name);
    }
  }
  const use = (e, kind) => { try { e.dispatchEvent(new Event(kind)); } catch (error) { /* it is gone */ } };
  for (const e of elements)
    for (const a of [...e.attributes]) if (/^on/i.test(a.name)) use(e, a.name.slice(2).toLowerCase());
  for (const a of doc.querySelectorAll("a[href]"))
    if (/^\s*javascript:/i.test(a.getAttribute("href"))) a.dispatchEvent(new MouseEvent("click", { cancelable: true }));
  return found;
})"""
# Our own style sheet, icon and script: asking for them thousands of times would take most of the time.
_STATIC = re.compile(rb'<(?:link rel="(?:stylesheet|icon)" href|script src)="[./]*(?:wire/)?static/[a-z.-]+"[^>]*>')
_NEVER = (
    *(
        "iframe",
        "object",
        "embed",
        "applet",
        "frame",
        "frameset",
        "base",
        "portal",
        "video",
        "audio",
        "marquee",
        "animate",
    ),
    *(
        "set",
        "foreignobject",
        "image",
        "feimage",
        "maction",
        "template",
        "noscript",
        "xmp",
        "dialog",
        "textarea",
    ),
)


@dataclass
class Seen:
    """What the browser saw."""

    outputs: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    hits: int = 0
    foreign: list[str] = field(default_factory=list)
    odd: int = 0


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()


@contextmanager
def _serving(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def look(found: Iterable[Output], folder: Path, *, at_once: int = FRAMES_AT_ONCE) -> Seen:
    """Load every output in Chromium, so many at a time, use what can be used, and say what happened."""
    seen = Seen()
    with _serving(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-xss-auditor"],
        )
        context = browser.new_context(bypass_csp=True)
        context.add_init_script(_CANARY)
        batch: list[Output] = []
        for output in found:
            batch.append(output)
            if len(batch) == at_once:
                _load(context, batch, folder, address, seen)
                batch = []
        if batch:
            _load(context, batch, folder, address, seen)
        browser.close()
    return seen


def _load(context: BrowserContext, batch: Sequence[Output], folder: Path, address: str, seen: Seen) -> None:
    """Load some outputs in frames of one page."""
    for number, output in enumerate(batch):
        (folder / f"{number}.html").write_bytes(_STATIC.sub(b"", output.content))
    frames = "".join(f'<iframe name="f{n}" src="{n}.html" width=400 height=300></iframe>' for n in range(len(batch)))
    (folder / "all.html").write_text(f"<!doctype html><title>all</title>{frames}")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.text.startswith("HIT") else None)
    page.on("dialog", lambda dialog: (said.append("HIT dialog"), dialog.dismiss()))
    page.on("request", lambda request: _asked(request.url, address, seen))
    page.goto(f"{address}all.html", wait_until="load")
    allowed = [{"refresh": output.refresh, "style": output.style} for output in batch]
    looked: list[list[str]] = page.evaluate(_LOOK, {"never": _NEVER, "outputs": allowed})
    for output, odd in zip(batch, looked, strict=True):
        seen.outputs[output.kind] += 1
        seen.odd += len(odd)
        seen.faults += [f"{output.kind}, {output.what}: {each}" for each in odd]
    page.evaluate("() => new Promise((done) => setTimeout(done, 30))")  # what was clicked has run
    if said:
        seen.hits += len(said)
        seen.faults.append(f"{len(said)} scripts ran in {sorted({output.kind for output in batch})}: {batch[0].what} …")
    page.close()


def _asked(url: str, address: str, seen: Seen) -> None:
    if not url.startswith(address):
        seen.foreign.append(url)
        seen.faults.append(f"a request to {url[:100]}")


def unescaped(texts: Sequence[str]) -> Iterator[Output]:
    """Pages that do what ours must not: the text of a source as it is. They prove that the browser would tell."""
    for text in texts:
        attribute = f'<a href="{text}">x</a>' if "://" in text or ":" in text[:14] else f'<p title="{text}">{text}</p>'
        page = f"<!doctype html><meta charset=utf-8><title>x</title>{attribute}<div>{text}</div>"
        yield Output("unescaped", repr(text), page.encode(errors="ignore"))


def told(seen: Seen, count: int, seconds: float) -> str:
    """What a run saw, in a table."""
    lines = [f"{kind:34}{number:6}" for kind, number in sorted(seen.outputs.items())]
    return "\n".join(
        [
            *lines,
            f"{count} payloads in {seen.outputs.total():,} documents, {seconds:.0f} s: {seen.hits} executions, "
            f"{len(seen.foreign)} foreign requests, {seen.odd} elements or attributes that are not ours",
        ]
    )


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every so-manyth payload")
    asked, started = parser.parse_args(), time.monotonic()
    texts = payloads()[:: asked.every]
    with tempfile.TemporaryDirectory() as folder:
        seen = look(outputs(texts), Path(folder))
    print(*seen.faults[:40], sep="\n")
    print(told(seen, len(texts), time.monotonic() - started))
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
