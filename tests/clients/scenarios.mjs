// What every client must be able to do with the server.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BOARD, BOARD_UPDATES, Board } from "./board.mjs";
import { Pipeline, Wire, token, until, url } from "./crm.mjs";

export const TEST = { timeout: 60_000 };
const CYCLES = 150; // more than one socket, and one user, may have running at a time
const MOVE = `mutation Move($input: MoveOpportunityInput!) {
  moveOpportunity(input: $input) {
    userErrors { code field }
    opportunity { id version stage { id } }
  }
}`;

// A subscription and what it was told.
export class Follower {
  updates = [];
  errors = null;
  completed = false;

  constructor(client, document, variables, apply = () => {}) {
    this.cancel = client.follow(document, variables, {
      next: (data) => {
        const [update] = Object.values(data);
        apply(update);
        this.updates.push(update);
      },
      refused: (errors) => (this.errors = errors),
      completed: () => (this.completed = true),
    });
  }

  async told(count) {
    await until(`${count} messages`, () => this.errors || this.updates.length >= count);
    assert.equal(this.errors, null);
    assert.equal(this.updates.length, count);
  }

  kinds() {
    return this.updates.flatMap(({ events }) => events.map(({ kind }) => kind));
  }

  async refusal() {
    await until("errors", () => this.errors);
    return this.errors.map(refusal);
  }
}

// A subscription that keeps a board that was queried.
export function keep(client, pipeline, board) {
  const variables = { pipelineId: pipeline.id, after: board.revision };
  return new Follower(client, BOARD_UPDATES, variables, (update) => board.apply(update));
}

export function refusal({ message, extensions }) {
  return { message, ...extensions };
}

export async function queryBoard(client, pipeline) {
  return new Board((await client.ask(BOARD, { pipelineId: pipeline.id })).pipelineBoard);
}

// A client that is closed after the test, whatever becomes of that.
export function opened(t, open, options) {
  const client = open(options);
  t.after(() => client.close());
  return client;
}

// `open({ url, token })` answers a client: ask(query, variables), which rejects with a list of errors; follow(query,
// variables, { next, refused, completed }), which answers what cancels it; close(). One that has a socket has `seen`.
export function serves(name, open) {
  describe(name, () => {
    const withClient = (what, run) =>
      test(what, TEST, async (t) => run(opened(t, open, { url, token }), await Pipeline.make()));

    withClient("a query", async (client, pipeline) => {
      const deal = await pipeline.deal("Big", "1200.50");

      const { pipelineBoard } = await client.ask(BOARD, { pipelineId: pipeline.id });

      const [first, second, third] = pipeline.stages;
      const { revision, stages } = pipelineBoard;
      const [{ rank }] = stages[0].cards.nodes;
      const amount = { amount: "1200.5", currency: "USD" };
      const card = { id: deal.id, name: "Big", version: 1, rank, amount, stage: { id: first } };
      const totals = { count: 1, sums: [{ ...amount, count: 1, weighted: "240.1" }] };
      const empty = { totals: { count: 0, sums: [] }, cards: { nodes: [] } };
      assert.match(revision, /^\w+\.\d+$/);
      assert.deepEqual(stages, [
        { stage: { id: first }, totals, cards: { nodes: [card] } },
        { stage: { id: second }, ...empty },
        { stage: { id: third }, ...empty },
      ]);
    });

    withClient("a mutation, done and refused", async (client, pipeline) => {
      const deal = await pipeline.deal("Big", "1200.50");
      const input = { opportunityId: deal.id, stageId: pipeline.stages[1], expectedVersion: 1 };

      const done = await client.ask(MOVE, { input });
      const stale = await client.ask(MOVE, { input: { ...input, stageId: pipeline.stages[2] } });

      const opportunity = { id: deal.id, version: 2, stage: { id: pipeline.stages[1] } };
      assert.deepEqual(done, { moveOpportunity: { userErrors: [], opportunity } });
      const userErrors = [{ code: "CONFLICT", field: "expectedVersion" }];
      assert.deepEqual(stale, { moveOpportunity: { userErrors, opportunity } });
    });

    withClient("a subscription after the revision of a query", async (client, pipeline) => {
      const deal = await pipeline.deal("Big", "1200.50");
      const board = await queryBoard(client, pipeline);
      const start = board.revision;
      const follower = keep(client, pipeline, board);
      await follower.told(1);

      const revision = await pipeline.move(deal, 1);
      await follower.told(2);

      const fresh = await queryBoard(client, pipeline);
      const [first, second] = pipeline.stages;
      const opportunity = fresh.cards.get(deal.id);
      const sums = [{ currency: "USD", count: 1, amount: "1200.5", weighted: "720.3" }];
      assert.equal(opportunity.stage.id, second);
      assert.deepEqual(follower.updates, [
        { revision: start, caughtUp: true, events: [], stages: [], removedStageIds: [] },
        {
          revision,
          caughtUp: true,
          events: [{ kind: "MOVED", revision, actor: { name: "Ada Admin" }, opportunityId: deal.id, opportunity }],
          removedStageIds: [],
          stages: [
            { stage: { id: first }, totals: { count: 0, sums: [] } },
            { stage: { id: second }, totals: { count: 1, sums } },
          ],
        },
      ]);
      assert.deepEqual(board, fresh);
    });

    withClient("what is cancelled is told nothing more, and is let go by the server", async (client, pipeline) => {
      const deal = await pipeline.deal("Big", "1200.50");
      const board = await queryBoard(client, pipeline);
      const variables = { pipelineId: pipeline.id };
      const staying = keep(client, pipeline, board);
      const leaving = new Follower(client, BOARD_UPDATES, variables);
      await Promise.all([staying.told(1), leaving.told(1)]);
      const sockets = client.seen?.sockets;

      leaving.cancel();
      const heard = client.seen?.messages.length;
      await pipeline.move(deal, 1);
      await staying.told(2);
      for (let cycle = 0; cycle < CYCLES; cycle += 1) {
        const follower = new Follower(client, BOARD_UPDATES, variables);
        await follower.told(1);
        follower.cancel();
      }
      await pipeline.move(deal, 2);
      await staying.told(3);

      assert.equal(leaving.updates.length, 1);
      assert.equal(leaving.errors, null);
      if (client.seen) {
        assert.equal(client.seen.sockets, sockets);
        // The answers to these and to the one that stayed: the server itself says nothing to those who left.
        const answers = client.seen.messages.slice(heard).filter(({ type }) => type === "next");
        assert.equal(answers.length, CYCLES + 2);
      }
    });

    test("what happens while the connection is cut is told when it is back", TEST, async (t) => {
      const wire = await Wire.lay(t);
      const client = opened(t, open, { url: wire.url, token });
      const pipeline = await Pipeline.make();
      const before = await pipeline.deal("Moved before", "5");
      const [moved, removed] = [await pipeline.deal("Moved", "10"), await pipeline.deal("Removed", "20")];
      const board = await queryBoard(client, pipeline);
      const follower = keep(client, pipeline, board);
      await follower.told(1);
      await pipeline.move(before, 1);
      await follower.told(2);

      wire.cut();
      await pipeline.move(moved, 2);
      await pipeline.remove(removed);
      const entered = await pipeline.deal("Entered", "30");
      const last = await pipeline.move(moved, 1);
      assert.equal(follower.updates.length, 2);
      wire.mend();
      await until("what was missed", () => board.revision === last);

      const kinds = new Map([[moved.id, "MOVED"], [removed.id, "LEFT"], [entered.id, "ENTERED"]]);
      const events = follower.updates.slice(2).flatMap((update) => update.events);
      assert.deepEqual(new Map(events.map(({ opportunityId, kind }) => [opportunityId, kind])), kinds);
      assert.equal(events.length, 3);
      assert.deepEqual(board, await queryBoard(client, pipeline));

      const next = await pipeline.move(moved, 0);
      await until("the next move", () => board.revision === next);
      assert.deepEqual(board, await queryBoard(client, pipeline));
      assert.deepEqual([follower.errors, follower.completed], [null, false]);
    });

    withClient("errors, after which the client works on", async (client, pipeline) => {
      const deal = await pipeline.deal("Big", "1200.50");
      const { revision } = await queryBoard(client, pipeline);
      const follower = new Follower(client, BOARD_UPDATES, { pipelineId: pipeline.id });
      await follower.told(1);
      const closed = client.seen?.closed.length;

      const nothing = await client.ask("{ viewer { nothing } }", {}).catch((errors) => errors.map(refusal));
      const unknown = new Follower(client, BOARD_UPDATES, { pipelineId: "pipe_unknown" });
      const later = new Follower(client, BOARD_UPDATES, { pipelineId: pipeline.id, after: `${revision}000` });

      const code = "BAD_USER_INPUT";
      assert.deepEqual(nothing, [{ message: "Cannot query field 'nothing' on type 'User'.", code }]);
      assert.deepEqual(await unknown.refusal(), [{ message: "There is no such pipeline.", code, field: "pipelineId" }]);
      assert.deepEqual(await later.refusal(), [
        { message: "Unknown revision. Reload the list.", code: "RESYNC", revision },
      ]);
      await pipeline.move(deal, 1);
      await follower.told(2);
      assert.equal(client.seen?.closed.length, closed);
    });
  });
}
