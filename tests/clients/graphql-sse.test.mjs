// The npm client graphql-sse in its mode of distinct connections: each operation is an event stream of its own.

import assert from "node:assert/strict";
import { test } from "node:test";
import { BOARD_UPDATES } from "./board.mjs";
import { Pipeline, colleague, expiringToken, token, until, url } from "./crm.mjs";
import { openEvents, plain } from "./opening.mjs";
import { Follower, TEST, keep, opened, queryBoard, refusal, serves } from "./scenarios.mjs";

const MOST = Number(process.env.CRM_GRAPH_TEST_USER_OPERATIONS);

const open = (options) => plain(openEvents(options));

serves("graphql-sse", open);

test("a syntax error is answered as an error", TEST, async (t) => {
  const client = opened(t, open, { url, token });

  const errors = await client.ask("{ viewer {", {}).catch((errors) => errors);

  const message = "Syntax Error: Expected Name, found <EOF>.";
  assert.deepEqual(errors.map(refusal), [{ message, code: "BAD_USER_INPUT" }]);
});

test("a user runs so many operations, and another one when one has ended", TEST, async (t) => {
  const client = opened(t, open, { url, token: await colleague() });
  const variables = { pipelineId: (await Pipeline.make()).id };
  const followers = Array.from({ length: MOST }, () => new Follower(client, BOARD_UPDATES, variables));
  await Promise.all(followers.map((follower) => follower.told(1)));

  const refused = new Follower(client, BOARD_UPDATES, variables);
  const message = `At most ${MOST} operations of one user may run here at a time.`;
  assert.deepEqual(await refused.refusal(), [{ message, code: "THROTTLED" }]);

  followers.pop().cancel();
  let last; // a stream has ended for the server when it notices that it is closed
  await until("room for another", () => {
    if (last?.errors) last = undefined;
    last ??= new Follower(client, BOARD_UPDATES, variables);
    return last.updates.length;
  });
});

test("a token that is not good is answered as an error", TEST, async (t) => {
  const client = opened(t, open, { url, token: "crm_unknown" });

  const follower = new Follower(client, BOARD_UPDATES, { pipelineId: (await Pipeline.make()).id });

  const message = "The token is not valid. Sign in again, or use another API token.";
  assert.deepEqual(await follower.refusal(), [{ message, code: "UNAUTHENTICATED" }]);
});

test("a token that expires ends the stream, and another goes on after what was applied", TEST, async (t) => {
  const pipeline = await Pipeline.make();
  const deal = await pipeline.deal("Big", "1200.50");
  const tokens = [await expiringToken(), token];
  const client = opened(t, open, { url, token: () => tokens.shift() });
  const board = await queryBoard(opened(t, open, { url, token }), pipeline);
  const follower = keep(client, pipeline, board);
  await follower.told(1);

  const ended = await follower.refusal();
  await until("the end of the stream", () => follower.completed);
  await pipeline.move(deal, 1);
  const next = keep(client, pipeline, board);
  await until("what was missed", () => next.kinds().length);

  assert.deepEqual(ended.map(({ code }) => code), ["UNAUTHENTICATED"]);
  assert.deepEqual(next.kinds(), ["MOVED"]);
  assert.deepEqual(board, await queryBoard(opened(t, open, { url, token }), pipeline));
});
