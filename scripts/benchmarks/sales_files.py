"""Generated sales files, in the form that mappings/maven-crm.toml imports and as large as the public data set."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

AGENTS, ACCOUNTS, DEALS = 35, 85, 8_800
OFFICES = ["Central", "East", "West"]
PRODUCTS = {"GTX Basic": 550, "GTX Pro": 4821, "GTX Plus Basic": 1096, "MG Special": 55, "MG Advanced": 3393}
COUNTRIES = ["United States", "Germany", "Japan", "Brazil", "Kenya", "Philipines"]
SECTORS = ["retail", "medical", "software", "finance", "technolgy"]
FIRST_DAY = dt.date(2016, 10, 20)


def write_sales_files(folder: Path) -> None:
    """Write the four files to a folder. They are the same each time."""
    random = Random(0)
    agents = [f"Agent {number}" for number in range(AGENTS)]
    accounts = [f"Company {number}" for number in range(ACCOUNTS)]
    _write(
        folder / "sales_teams.csv",
        ["sales_agent", "manager", "regional_office"],
        ([agent, f"Manager {number % 6}", OFFICES[number % 6 // 2]] for number, agent in enumerate(agents)),
    )
    _write(
        folder / "products.csv",
        ["product", "series", "sales_price"],
        ([product, product.partition(" ")[0], price] for product, price in PRODUCTS.items()),
    )
    _write(
        folder / "accounts.csv",
        ["account", "sector", "year_established", "revenue", "employees", "office_location", "subsidiary_of"],
        (
            [
                account,
                random.choice(SECTORS),
                random.randrange(1980, 2016),
                f"{random.uniform(10, 10_000):.2f}",
                random.randrange(10, 35_000),
                random.choice(COUNTRIES),
                accounts[number // 6] if number % 6 == 5 else "",
            ]
            for number, account in enumerate(accounts)
        ),
    )
    _write(
        folder / "sales_pipeline.csv",
        [
            "opportunity_id",
            "sales_agent",
            "product",
            "account",
            "deal_stage",
            "engage_date",
            "close_date",
            "close_value",
        ],
        (_deal(number, random, agents, accounts) for number in range(DEALS)),
    )


def _deal(number: int, random: Random, agents: Sequence[str], accounts: Sequence[str]) -> list[object]:
    stage = random.choices(["Won", "Lost", "Engaging", "Prospecting"], [48, 28, 18, 6])[0]
    product = random.choice(list(PRODUCTS))
    engaged = FIRST_DAY + dt.timedelta(random.randrange(430))
    closed = engaged + dt.timedelta(random.randrange(1, 130))
    is_closed = stage in ("Won", "Lost")
    value = round(PRODUCTS[product] * random.uniform(0.8, 1.2)) if stage == "Won" else 0
    return [
        f"D{number:07}",
        random.choice(agents),
        "GTXPro" if product == "GTX Pro" else product,
        random.choice(accounts) if is_closed or random.random() < 0.3 else "",
        stage,
        _date(engaged) if stage != "Prospecting" else "",
        _date(closed) if is_closed else "",
        value if is_closed else "",
    ]


def _date(day: dt.date) -> str:
    return f"{day.month}/{day.day}/{day.year}"


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        writer.writerow(header)
        writer.writerows(rows)
