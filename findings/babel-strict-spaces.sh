#!/usr/bin/env bash
# Babel 2.19.0 (PyPI): parse_decimal(strict=True) refuses numbers as people in France, Poland, Sweden and Norway type them.
#
# Expected: the strict mode refuses misplaced separators ("12,34" for 1234) and accepts "1 250,50" in a locale that
# groups with a space, whichever space it is. Seen: only the exact space of the CLDR data passes (U+202F in fr, U+00A0 in
# pl, sv, nb). A space bar's U+0020, and in fr the U+00A0 of spreadsheets, raise NumberFormatError. Without strict they
# pass, but so does "12,34" for 1234 in en_IN. U+2019 in de_CH and the minus sign U+2212 of sv are refused in both modes.
#
# For an import: replace every space between digits by the locale's own group sign first, then parse strictly.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check babel==2.19.0
seen=$("$folder/venv/bin/python" - <<'PY'
from babel.numbers import NumberFormatError, parse_decimal
def read(text, locale, strict):
    try:
        return str(parse_decimal(text, locale=locale, strict=strict))
    except NumberFormatError:
        return "refused"
for locale, text in [("fr_FR", "1\u0020250,50"), ("fr_FR", "1\u00a0250,50"), ("fr_FR", "1\u202f250,50"),
                     ("pl_PL", "1\u0020250,50"), ("sv_SE", "1\u0020250,50"), ("nb_NO", "1\u0020250,50"),
                     ("sv_SE", "\u22125"), ("de_CH", "1\u2019250.50"), ("de_CH", "1'250.50"), ("en_IN", "12,34")]:
    print(locale, ascii(text), "strict", read(text, locale, True), "lenient", read(text, locale, False))
PY
)
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
fr_FR '1 250,50' strict refused lenient 1250.50
fr_FR '1\xa0250,50' strict refused lenient 1250.50
fr_FR '1\u202f250,50' strict 1250.50 lenient 1250.50
pl_PL '1 250,50' strict refused lenient 1250.50
sv_SE '1 250,50' strict refused lenient 1250.50
nb_NO '1 250,50' strict refused lenient 1250.50
sv_SE '\u22125' strict refused lenient refused
de_CH '1\u2019250.50' strict refused lenient refused
de_CH "1'250.50" strict 1250.50 lenient 1250.50
en_IN '12,34' strict refused lenient 1234
OUT
echo "as described: babel 2.19.0"
