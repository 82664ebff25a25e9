// The npm client graphql-ws: every operation on one websocket.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BOARD_UPDATES } from "./board.mjs";
import { Pipeline, expiringToken, token, until, url } from "./crm.mjs";
import { openSocket, plain } from "./opening.mjs";
import { Follower, TEST, opened, serves } from "./scenarios.mjs";

const MOST = 100; // operations on one socket

function open(options) {
  const { client, seen } = openSocket(options);
  return { ...plain(client), seen };
}

// The first connection is made with one token, later ones with another.
function first(one, other) {
  const tokens = [one];
  return () => tokens.shift() ?? other;
}

serves("graphql-ws", open);

test("a syntax error leaves the socket open", TEST, async (t) => {
  const client = opened(t, open, { url, token });
  const follower = new Follower(client, BOARD_UPDATES, { pipelineId: (await Pipeline.make()).id });
  await follower.told(1);

  const errors = await client.ask("{ viewer {", {}).catch((errors) => errors);
  const answer = await client.ask("{ viewer { name } }", {});

  assert.equal(errors[0].message, "Syntax Error: Expected Name, found <EOF>.");
  assert.deepEqual(answer, { viewer: { name: "Ada Admin" } });
  assert.deepEqual([client.seen.sockets, client.seen.closed], [1, []]);
});

test("a socket runs a hundred operations, and others as soon as these are cancelled", TEST, async (t) => {
  const client = opened(t, open, { url, token });
  const variables = { pipelineId: (await Pipeline.make()).id };
  const follow = () => Array.from({ length: MOST }, () => new Follower(client, BOARD_UPDATES, variables));
  const followers = follow();
  await Promise.all(followers.map((follower) => follower.told(1)));

  const refused = await new Follower(client, BOARD_UPDATES, variables).refusal();
  for (const follower of followers) follower.cancel();
  const others = follow();
  await Promise.all(others.map((follower) => follower.told(1)));

  const message = `At most ${MOST} operations may run on one socket at a time.`;
  assert.deepEqual(refused, [{ message, code: "THROTTLED" }]);
  assert.deepEqual([client.seen.sockets, client.seen.closed], [1, []]);
});

describe("tokens", { concurrency: true }, () => {
  test("a token that is not good: the client comes again with another", TEST, async (t) => {
    const client = opened(t, open, { url, token: first("crm_unknown", token) });

    const follower = new Follower(client, BOARD_UPDATES, { pipelineId: (await Pipeline.make()).id });
    await follower.told(1);

    assert.deepEqual(client.seen.closed, [4403]);
  });

  test("a token that expires: the client comes again with another, and has missed nothing", TEST, async (t) => {
    const pipeline = await Pipeline.make();
    const deal = await pipeline.deal("Big", "1200.50");
    const client = opened(t, open, { url, token: first(await expiringToken(), token) });
    const follower = new Follower(client, BOARD_UPDATES, { pipelineId: pipeline.id });
    await follower.told(1);

    await until("the end of the socket", () => client.seen.closed.length);
    await pipeline.move(deal, 1);
    await until("the event", () => follower.kinds().length);

    assert.deepEqual(client.seen.closed, [4403]);
    assert.equal(client.seen.sockets, 2);
    assert.deepEqual(follower.kinds(), ["MOVED"]);
  });

  test("a token renewed on the open socket: what runs there runs on", TEST, async (t) => {
    const pipeline = await Pipeline.make();
    const deal = await pipeline.deal("Big", "1200.50");
    const expiring = await expiringToken();
    const renewing = opened(t, open, { url, token: expiring });
    const leaving = opened(t, open, { url, token: first(expiring, token) });
    const follow = (client) => new Follower(client, BOARD_UPDATES, { pipelineId: pipeline.id });
    const [follower, other] = [follow(renewing), follow(leaving)];
    await Promise.all([follower.told(1), other.told(1)]);

    const payload = "userErrors { code } expiresAt";
    const renew = `mutation ($input: RenewTokenInput!) { renewToken(input: $input) { ${payload} } }`;
    const refused = await renewing.ask(renew, { input: { token: "crm_unknown" } });
    const renewed = await renewing.ask(renew, { input: { token } });
    await until("the end of the socket that goes on with the old token", () => leaving.seen.closed.length);
    await pipeline.move(deal, 1);
    await follower.told(2);

    assert.deepEqual(refused, { renewToken: { userErrors: [{ code: "INVALID" }], expiresAt: null } });
    assert.deepEqual(renewed, { renewToken: { userErrors: [], expiresAt: null } });
    assert.deepEqual([renewing.seen.sockets, renewing.seen.closed], [1, []]);
  });
});
