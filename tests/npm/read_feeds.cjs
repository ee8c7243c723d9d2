// Read the feeds whose paths come on standard input, one a line, with feedsmith; print what each says, one JSON value a line.
const fs = require("fs");
const { parseFeed } = require("feedsmith");

const text = (value) => (value && typeof value === "object" ? value.value : value) ?? "";
const related = (entry, rel) => (entry.links || []).filter((link) => link.rel === rel).map((link) => link.href);

const READ = {
  atom: (entry) => ({
    id: entry.id,
    title: text(entry.title),
    authors: (entry.authors || []).map((author) => author.name),
    links: related(entry, "alternate"),
    enclosures: related(entry, "enclosure"),
  }),
  rss: (entry) => ({
    id: entry.guid.value,
    title: text(entry.title),
    authors: (entry.dc && entry.dc.creators) || [],
    links: [entry.link],
    enclosures: (entry.enclosures || []).map((enclosure) => enclosure.url),
  }),
  json: (entry) => ({
    id: entry.id,
    title: text(entry.title),
    authors: (entry.authors || []).map((author) => author.name),
    links: [entry.url],
    enclosures: (entry.attachments || []).map((attachment) => attachment.url),
  }),
};

for (const path of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  try {
    const { format, feed } = parseFeed(fs.readFileSync(path, "utf8"));
    console.log(JSON.stringify({ path, format, entries: (feed.entries || feed.items || []).map(READ[format]) }));
  } catch (error) {
    console.log(JSON.stringify({ path, error: String(error) }));
  }
}
