#!/usr/bin/env bash
# python-liquid 2.3.6 (PyPI) and liquidjs 10.30.1 (npm): a template that is previewed in a browser and sent by a server.
#
# Expected: one template language gives one text. Seen: a half rounds to even in Python (2.5 -> 2) and up in JavaScript
# (3); 5 divided by 2 is 2 in Python and 2.5 in JavaScript; a time with an offset keeps it in Python and is converted to
# the zone of the machine in JavaScript, which can change its day; 30 February stays text in Python and is a date in
# JavaScript; an unknown filter is an error in Python and ignored in JavaScript.
#
# For mail templates: render the preview on the server.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-liquid==2.3.6
npm install --silent --no-audit --no-fund --prefix "$folder" liquidjs@10.30.1
cat >"$folder/templates.json" <<'JSON'
["{{ 2.5 | round }}", "{{ 5 | divided_by: 2 }}", "{{ '2026-11-30T20:49:00-08:00' | date: '%d.%m.%Y' }}",
 "{{ '2026-02-30' | date: '%Y' }}", "{{ 0.1 | plus: 0.2 }}", "{{ 'x' | no_such_filter }}"]
JSON
cd "$folder"
seen=$("$folder/venv/bin/python" - <<'PY'
import json
from liquid import Environment
from liquid.exceptions import LiquidError
for text in json.load(open("templates.json")):
    try:
        print("py", Environment().from_string(text).render())
    except LiquidError as error:
        print("py", type(error).__name__)
PY
TZ=UTC node -e '
const { Liquid } = require("liquidjs");
for (const text of require("./templates.json")) console.log("js", new Liquid().parseAndRenderSync(text));')
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
py 2
py 2
py 30.11.2026
py 2026-02-30
py 0.3
py UnknownFilterError
js 3
js 2.5
js 01.12.2026
js 2026
js 0.30000000000000004
js x
OUT
echo "as described: python-liquid 2.3.6, liquidjs 10.30.1"
