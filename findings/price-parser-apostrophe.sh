#!/usr/bin/env bash
# price-parser 0.5.1 (PyPI): a Swiss amount with a typographic apostrophe is cut at it, and signs are dropped.
#
# Expected: "CHF 1’250.50" (U+2019, the group sign of CLDR's de-CH data) is 1250.50 like "CHF 1'250.50", and "-500" and
# the accountant's "(500)" are negative or refused. Seen: 1, 500 and 500, without an error. "1.250 TND" is 1250, although
# the dinar has three decimals.
#
# For an import: never guess amounts with it; a wrong value passes as a right one.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check price-parser==0.5.1
seen=$("$folder/venv/bin/python" - <<'PY'
from price_parser import Price
for text in ["CHF 1'250.50", "CHF 1\u2019250.50", "-500", "(500)", "1.250 TND", "1,5 Mio. EUR"]:
    print(ascii(text), Price.fromstring(text).amount)
PY
)
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
"CHF 1'250.50" 1250.50
'CHF 1\u2019250.50' 1
'-500' 500
'(500)' 500
'1.250 TND' 1250
'1,5 Mio. EUR' 1.5
OUT
echo "as described: price-parser 0.5.1"
