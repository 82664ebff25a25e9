#!/usr/bin/env bash
# holidays 0.109 (PyPI) and date-holidays 3.37.0 (npm): public holidays of 2026 that a server and a browser disagree on.
#
# Expected: two well-kept libraries agree on the public holidays of a country. Seen: they agree on Germany, Austria,
# Italy, Poland, Japan and the US federal days, but not on the Netherlands (Good Friday only in Python), Zürich (Easter
# Sunday and Whit Sunday only in JavaScript), Catalonia (1 November, a Sunday, only in JavaScript) and Ontario (Easter
# Monday only in JavaScript, an observed Boxing Day only in Python). India has 18 days in one and 6 in the other.
#
# For SLA clocks: copy the days into a calendar that people can see and correct, and compute from that copy alone.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109
npm install --silent --no-audit --no-fund --prefix "$folder" date-holidays@3.37.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import json
from holidays import country_holidays
regions = ["DE-BY", "AT", "IT", "PL", "JP", "US", "NL", "CH-ZH", "ES-CT", "CA-ON", "IN"]
days = {}
for region in regions:
    country, _, part = region.partition("-")
    days[region] = sorted(str(each) for each in country_holidays(country, subdiv=part or None, years=2026))
json.dump(days, open("days.json", "w"))
PY
seen=$(node -e '
const Holidays = require("date-holidays").default ?? require("date-holidays");
for (const [region, server] of Object.entries(require("./days.json"))) {
  const found = new Holidays(...region.split("-")).getHolidays(2026).filter((each) => each.type === "public");
  const browser = new Set(found.map((each) => each.date.slice(0, 10)));
  const only = (some, others) => some.filter((each) => !others.has(each)).map((each) => each.slice(5)).join(" ");
  console.log(`${region} ${server.length} ${browser.size} python: ${region === "IN" ? "…" : only(server, browser)} js: ${only([...browser].sort(), new Set(server))}`);
}')
diff - <(printf '%s\n' "$seen" | sed 's/ $//') <<'OUT' || { echo "changed" >&2; exit 1; }
DE-BY 12 12 python:  js:
AT 13 13 python:  js:
IT 13 13 python:  js:
PL 14 14 python:  js:
JP 18 18 python:  js:
US 12 12 python:  js:
NL 10 9 python: 04-03 js:
CH-ZH 9 12 python:  js: 04-05 05-24 09-20
ES-CT 12 14 python:  js: 11-01 12-06
CA-ON 10 10 python: 12-28 js: 04-06
IN 18 6 python: … js:
OUT
echo "as described: holidays 0.109, date-holidays 3.37.0"
