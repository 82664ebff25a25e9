#!/usr/bin/env bash
# exceljs 4.4.0 and xlsx 0.18.5 (npm): cells of a spreadsheet that are no dates come back as dates.
#
# Expected: a number with the format `0\ \d` (shown as "3 d", for three days) is the number 3, and a duration with the
# format [h]:mm is a number or a duration. Seen: exceljs takes the escaped d for a day and returns 2 January 1900; xlsx with
# cellDates and exceljs return a date in 1899 for 36 hours. python-calamine 0.9.1 returns 3.0 and a timedelta.
#
# For an import in a browser: check the number format yourself before you believe a date before 1901.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check xlsxwriter==3.3.1 python-calamine==0.9.1
npm install --silent --no-audit --no-fund --prefix "$folder" exceljs@4.4.0 xlsx@0.18.5 2>/dev/null
cd "$folder"
seen=$("$folder/venv/bin/python" - <<'PY'
import xlsxwriter
from python_calamine import CalamineWorkbook
book = xlsxwriter.Workbook("cells.xlsx")
sheet = book.add_worksheet()
for row, (number, form) in enumerate([(3, r"0\ \d"), (1.5, "[h]:mm")]):
    sheet.write_number(row, 0, number, book.add_format({"num_format": form}))
book.close()
for [cell] in CalamineWorkbook.from_path("cells.xlsx").get_sheet_by_index(0).to_python():
    print("calamine", cell)
PY
node -e '
const ExcelJS = require("exceljs"), XLSX = require("xlsx");
const show = (value) => (value instanceof Date ? value.toISOString().slice(0, 10) : value);
const sheet = XLSX.readFile("cells.xlsx", { cellDates: true }).Sheets.Sheet1;
for (const cell of ["A1", "A2"]) console.log("xlsx", show(sheet[cell].v));
const book = new ExcelJS.Workbook();
book.xlsx.readFile("cells.xlsx").then(() => book.worksheets[0].eachRow((row) => console.log("exceljs", show(row.getCell(1).value))));')
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
calamine 3.0
calamine 1 day, 12:00:00
xlsx 3
xlsx 1899-12-31
exceljs 1900-01-02
exceljs 1899-12-31
OUT
echo "as described: exceljs 4.4.0, xlsx 0.18.5, python-calamine 0.9.1"
