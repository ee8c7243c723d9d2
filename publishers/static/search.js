// Answers while somebody types: the search page itself is asked for its results. Without this the form works as any.
(() => {
  "use strict";
  const form = document.getElementById("ask"), results = document.getElementById("results");
  const said = document.getElementById("said");
  if (!form || !results || !said || !window.fetch || !window.AbortController || !results.replaceChildren) return;
  const box = form.elements.namedItem("q");
  const PAUSE = 200, PATIENCE = 700; // ms without a key: before asking; before half a query is called wrong
  let timer = 0, running = null, shown = box.defaultValue.trim();

  const wait = (ms, signal) => new Promise((done, stop) => {
    setTimeout(done, ms);
    signal.addEventListener("abort", () => stop(signal.reason));
  });

  function address(text) {
    const url = new URL(form.action);
    const days = form.elements.namedItem("days");
    if (text) url.searchParams.set("q", text);
    if (days) url.searchParams.set("days", days.value);
    return url;
  }

  function show(text, html) {
    shown = text;
    results.replaceChildren(document.createRange().createContextualFragment(html));
    const found = results.querySelector("[data-said]");
    said.textContent = found ? found.dataset.said : "";
    if (found) document.title = found.dataset.title;
    if (found && found.dataset.wrong) {
      box.setAttribute("aria-invalid", "true");
      box.setAttribute("aria-describedby", "fault");
    } else {
      box.removeAttribute("aria-invalid");
      box.removeAttribute("aria-describedby");
    }
    history.replaceState(null, "", address(text));
  }

  async function ask() {
    const text = box.value.trim();
    if (running) running.abort();
    running = null;
    results.removeAttribute("aria-busy");
    if (text === shown) return;
    const mine = running = new AbortController();
    const url = address(text);
    url.searchParams.set("part", "results");
    results.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(url, { signal: mine.signal, redirect: "error" });
      if (answer.status !== 200 && answer.status !== 400) return; // what stands there stays
      const html = await answer.text();
      if (answer.status === 400) await wait(PATIENCE, mine.signal);
      if (running === mine) show(text, html);
    } catch (error) {
      // Another question came, or the line is down: the button still works.
    } finally {
      if (running === mine) {
        running = null;
        results.removeAttribute("aria-busy");
      }
    }
  }

  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  box.addEventListener("keydown", (event) => {
    const first = event.key === "ArrowDown" && results.querySelector("h3 a");
    if (!first) return;
    event.preventDefault();
    first.focus();
  });
  document.addEventListener("keydown", (event) => {
    const writing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    if (event.key !== "/" || writing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
  if (box.value.trim() !== shown) ask(); // the browser brought back what stood there
})();
