// Read the pages named on the command line as Wikipedia's citation service does; print one JSON value a line.
const scrape = require("html-metadata");

(async () => {
  for (const url of process.argv.slice(2)) console.log(JSON.stringify(await scrape(url)));
})();
