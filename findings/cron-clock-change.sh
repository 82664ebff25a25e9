#!/usr/bin/env bash
# cronsim 2.8, croniter 7.0.0 (PyPI) and cron-parser 5.10.6 (npm): one schedule, three calendars.
#
# Expected: "30 2 * * *" in Europe/Berlin runs once on 25 October 2026, when 02:30 comes twice, and "0 9 */2 * MON" means
# the same days everywhere. Seen: croniter runs it twice that night, cronsim and cron-parser once, at the first 02:30.
# Where both day fields are restricted, cronsim takes the days that satisfy both if one begins with "*" (as Debian's cron
# does); croniter and cron-parser take those that satisfy either. cronsim refuses MON-SUN, which the others accept.
#
# For a product that shows the next runs in a browser: compute them on the server.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cronsim==2.8 croniter==7.0.0 tzdata==2026.6
npm install --silent --no-audit --no-fund --prefix "$folder" cron-parser@5.10.6
seen=$("$folder/venv/bin/python" - <<'PY'
import datetime as dt
from itertools import islice
from zoneinfo import ZoneInfo
from croniter import croniter
from cronsim import CronSim, CronSimError
zone = ZoneInfo("Europe/Berlin")
for schedule, start in [("30 2 * * *", dt.datetime(2026, 10, 24, 12, tzinfo=zone)), ("0 9 */2 * MON", dt.datetime(2026, 1, 1, tzinfo=zone))]:
    print(schedule, "cronsim", *(f"{each:%d.%m.%z}" for each in islice(CronSim(schedule, start), 3)))
    runs = croniter(schedule, start)
    print(schedule, "croniter", *(f"{runs.get_next(dt.datetime):%d.%m.%z}" for _ in range(3)))
try:
    CronSim("0 9 * * MON-SUN", start)
except CronSimError as error:
    print("MON-SUN", error)
PY
cd "$folder" && node -e '
const { CronExpressionParser } = require("cron-parser");
for (const [schedule, start] of [["30 2 * * *", "2026-10-24T12:00:00+02:00"], ["0 9 */2 * MON", "2026-01-01T00:00:00+01:00"]]) {
  const runs = CronExpressionParser.parse(schedule, { currentDate: new Date(start), tz: "Europe/Berlin" });
  console.log(schedule, "cron-parser", ...[1, 2, 3].map(() => runs.next().toISOString().slice(0, 16)));
}')
diff - <(printf '%s\n' "$seen") <<'OUT' || { echo "changed" >&2; exit 1; }
30 2 * * * cronsim 25.10.+0200 26.10.+0100 27.10.+0100
30 2 * * * croniter 25.10.+0200 25.10.+0100 26.10.+0100
0 9 */2 * MON cronsim 05.01.+0100 19.01.+0100 09.02.+0100
0 9 */2 * MON croniter 01.01.+0100 03.01.+0100 05.01.+0100
MON-SUN Bad day-of-week
30 2 * * * cron-parser 2026-10-25T00:30 2026-10-26T01:30 2026-10-27T01:30
0 9 */2 * MON cron-parser 2026-01-01T08:00 2026-01-03T08:00 2026-01-05T08:00
OUT
echo "as described: cronsim 2.8, croniter 7.0.0, cron-parser 5.10.6"
