#!/usr/bin/env bash
# cleanco 2.3 (PyPI): some legal forms are removed by halves, which makes two spellings of a company look different.
#
# Expected: basename() leaves the bare name, or the name as it was. Seen: "Acme UG (haftungsbeschränkt)" loses only its
# last bracket, "Acme AG & Co. KGaA" keeps "AG & Co.", "Acme Co., Ltd." keeps "Co.", a Mexican "SAPI de CV" keeps
# "SAPI de". Forms that stand before the name (ООО, PT, AS) and 株式会社 stay whole.
#
# For finding duplicates: strip brackets and run it until nothing changes, or fold legal forms by a list of your own.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cleanco==2.3
seen=$("$folder/venv/bin/python" - <<'PY'
from cleanco import basename
for name in ["Acme GmbH & Co. KG", "Acme UG (haftungsbeschränkt)", "Acme AG & Co. KGaA", "Acme Co., Ltd.",
             "Grupo Acme SAPI de CV", "Acme e.K.", "ООО Acme", "PT Acme Tbk", "株式会社Acme"]:
    print(f"{name} -> {basename(name)}")
PY
)
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
Acme GmbH & Co. KG -> Acme
Acme UG (haftungsbeschränkt) -> Acme UG (haftungsbeschränkt
Acme AG & Co. KGaA -> Acme AG & Co.
Acme Co., Ltd. -> Acme Co.
Grupo Acme SAPI de CV -> Grupo Acme SAPI de
Acme e.K. -> Acme e.K.
ООО Acme -> ООО Acme
PT Acme Tbk -> PT Acme Tbk
株式会社Acme -> 株式会社Acme
OUT
echo "as described: cleanco 2.3"
