#!/usr/bin/env bash
# pycountry 26.2.16 (PyPI): country names of CRM exports that are not found, and one that is another country.
#
# Expected: lookup() finds the English names that picklists of other CRMs use. Seen: UK, Russia, Turkey, Ivory Coast,
# Macau, Cape Verde, Brunei, Palestine, Great Britain and "The Netherlands" raise LookupError, while USA, South Korea,
# Taiwan and Czech Republic are found. search_fuzzy("Kosovo") answers Serbia first, because the name occurs in one of its
# subdivisions; "UK" also proposes Uganda and Ukraine.
#
# For an import: use a table of aliases, and never take the first fuzzy hit.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycountry==26.2.16
seen=$("$folder/venv/bin/python" - <<'PY'
from pycountry import countries
def find(name):
    try:
        return countries.lookup(name).alpha_2
    except LookupError:
        return "none"
names = ["UK", "Great Britain", "Russia", "Turkey", "Ivory Coast", "Macau", "Cape Verde", "Brunei", "Palestine",
         "The Netherlands", "USA", "South Korea", "Taiwan", "Czech Republic"]
print(*(f"{name}={find(name)}" for name in names), sep="\n")
for name in ["Kosovo", "UK"]:
    print(f"fuzzy {name}:", *(each.alpha_2 for each in countries.search_fuzzy(name)[:3]))
PY
)
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
UK=none
Great Britain=none
Russia=none
Turkey=none
Ivory Coast=none
Macau=none
Cape Verde=none
Brunei=none
Palestine=none
The Netherlands=none
USA=US
South Korea=KR
Taiwan=TW
Czech Republic=CZ
fuzzy Kosovo: RS
fuzzy UK: GB UG UA
OUT
echo "as described: pycountry 26.2.16"
