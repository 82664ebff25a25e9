#!/usr/bin/env bash
# phonenumbers 9.0.43 (PyPI) and libphonenumber-js 1.13.16 (npm): Mexican mobile numbers of older address books are refused.
#
# Expected: "+52 1 55 …", the form of every Mexican mobile number until August 2019 and still the form of WhatsApp ids, is
# read as the number it is today, without the 1, as Argentina's national "15" is. Seen: both libraries keep the 1 and
# say that the number is neither possible nor valid. The old trunk prefix 044 is kept as digits too. Argentina's old
# national form is converted.
#
# For an import: drop a 1 behind +52 when eleven digits follow the country code, and say so in the report.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check phonenumbers==9.0.43
npm install --silent --no-audit --no-fund --prefix "$folder" libphonenumber-js@1.13.16
seen=$("$folder/venv/bin/python" - <<'PY'
import phonenumbers
for text, region in [("+52 1 55 5555 0100", None), ("044 55 5555 0100", "MX"), ("+52 55 5555 0100", None), ("011 15-2345-6789", "AR")]:
    number = phonenumbers.parse(text, region)
    print(text, phonenumbers.format_number(number, 0), phonenumbers.is_possible_number(number), phonenumbers.is_valid_number(number))
PY
cd "$folder" && node -e '
const { parsePhoneNumber } = require("libphonenumber-js/max");
const number = parsePhoneNumber("+52 1 55 5555 0100");
console.log("js", number.number, number.isPossible(), number.isValid());'
)
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
+52 1 55 5555 0100 +5215555550100 False False
044 55 5555 0100 +520445555550100 False False
+52 55 5555 0100 +525555550100 True True
011 15-2345-6789 +5491123456789 True True
js +5215555550100 false false
OUT
echo "as described: phonenumbers 9.0.43, libphonenumber-js 1.13.16"
