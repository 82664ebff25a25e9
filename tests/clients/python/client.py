"""Follow the board of a pipeline with a client that ariadne-codegen generated."""

import asyncio
import os
from contextlib import aclosing
from decimal import Decimal

from crm_client import Client, CreateOpportunityInput, MoneyInput

URL, PIPELINE = os.environ["CRM_GRAPH_URL"], os.environ["PIPELINE"]
HEADERS = {"Authorization": f"Bearer {os.environ['CRM_GRAPH_TOKEN']}"}


async def main() -> None:
    client = Client(
        url=URL,
        headers=HEADERS,
        ws_url=URL.replace("http", "ws", 1),
        ws_connection_init_payload=HEADERS,
    )
    async with client:
        board = (await client.board(pipeline_id=PIPELINE)).pipeline_board
        cards = {card.id: card for column in board.stages for card in column.cards.nodes}
        amount = MoneyInput(amount=Decimal("1250.50"), currency="USD")
        deal = CreateOpportunityInput(name="Typed", stage_id=board.stages[0].stage.id, amount=amount)
        made = (await client.create_opportunity(input=deal)).create_opportunity
        assert not made.user_errors, made.user_errors
        async with aclosing(client.follow_board(pipeline_id=PIPELINE, after=board.revision)) as messages:
            async for message in messages:
                update = message.pipeline_board
                for event in update.events:
                    if event.opportunity is None:
                        cards.pop(event.opportunity_id, None)
                    else:
                        cards[event.opportunity_id] = event.opportunity
                if update.caught_up and cards:
                    break
        for card in cards.values():
            print(f"{card.name}: {card.amount.amount} {card.amount.currency}")


asyncio.run(main())
