#!/usr/bin/env bash
# Babel 2.19.0 (PyPI) and Intl.NumberFormat (Node 20): the same amount looks different on a server's PDF and in a browser.
#
# Expected: both follow CLDR, so €1250.50 is the same text in every locale. Seen: Intl leaves four digits ungrouped in
# Spanish, European Portuguese, Polish, Italian, Bulgarian, Latvian, Georgian, Estonian and Hungarian (CLDR's
# minimumGroupingDigits is 2 there); Babel groups them. A negative amount in Swedish has U+2212 in Intl and "-" in Babel.
#
# For a product that prints quotes on the server and totals in the browser: format amounts in one place.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.19.0
locales="es-ES pt-PT pl-PL it-IT bg-BG lv-LV et-EE hu-HU sv-SE de-DE"
server=$("$folder/venv/bin/python" -c '
import sys
from babel.numbers import format_currency
for name in sys.argv[1:]:
    print(name, *(ascii(format_currency(x, "EUR", locale=name.replace("-", "_"))) for x in ("1250.50", "-12.50")))
' $locales)
browser=$(node -e '
const ascii = (text) => "\x27" + text.replace(/[^ -~]/g, (c) => c < "\u0100" ? "\\x" + c.charCodeAt(0).toString(16) : "\\u" + c.charCodeAt(0).toString(16)) + "\x27";
for (const name of process.argv.slice(1)) {
  const money = new Intl.NumberFormat(name, { style: "currency", currency: "EUR" });
  console.log(name, ascii(money.format(1250.5)), ascii(money.format(-12.5)));
}' $locales)
differ=$({ diff <(printf '%s\n' "$server") <(printf '%s\n' "$browser") || true; } | sed -n 's/^< \([^ ]*\) .*/\1/p' | xargs)
echo "differ: $differ"
printf '%s\n' "$server" "$browser" | grep -E '^(es-ES|sv-SE)'
[[ $differ == "es-ES pt-PT pl-PL it-IT bg-BG lv-LV et-EE hu-HU sv-SE" ]] || { echo "changed" >&2; exit 1; }
grep -qF "es-ES '1.250,50\\xa0\\u20ac'" <<<"$server" && grep -qF "es-ES '1250,50\\xa0\\u20ac'" <<<"$browser" || { echo "changed" >&2; exit 1; }
echo "as described: babel 2.19.0, node $(node --version)"
