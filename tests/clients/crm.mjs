// The server under test, what others do there meanwhile, and a wire to it that can be cut.

import assert from "node:assert/strict";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE_MS = 20_000;
const LIFE_MS = 3_000;

export const url = setting("URL");
export const token = setting("TOKEN");
const email = setting("EMAIL");
const password = setting("PASSWORD");

export function setting(name) {
  const value = process.env[`CRM_GRAPH_TEST_${name}`];
  if (!value) throw new Error(`CRM_GRAPH_TEST_${name} is not set: tests/system/test_clients.py runs these tests.`);
  return value;
}

export async function until(what, holds) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `Waited in vain: ${what}`);
    await sleep(5);
  }
}

// An operation that must not fail, sent without any of the clients.
export async function ask(query, variables = {}, by = token) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${by}` };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

// The payload of a mutation that must be done.
export async function write(mutation, selection, input, by) {
  const type = `${mutation[0].toUpperCase()}${mutation.slice(1)}Input`;
  const payload = `userErrors { message } ${selection}`;
  const document = `mutation ($input: ${type}!) { done: ${mutation}(input: $input) { ${payload} } }`;
  const { done } = await ask(document, { input }, by);
  assert.deepEqual(done.userErrors, []);
  return done;
}

async function signIn(address) {
  const document = "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }";
  return (await ask(document, { input: { email: address, password } })).signIn.accessToken;
}

// A token that is good for long enough to begin something with it.
export async function expiringToken() {
  const session = await signIn(email);
  const expiresAt = new Date(Date.now() + LIFE_MS).toISOString();
  return (await write("createApiToken", "token", { name: "clients", expiresAt }, session)).token;
}

// The token of a new user, for whom nothing is running yet.
export async function colleague() {
  const address = `bo.${Date.now()}@acme.example`;
  const { user } = await write("createUser", "user { id }", { name: "Bo", email: address });
  await write("setPassword", "revision", { userId: user.id, password });
  return signIn(address);
}

export class Pipeline {
  static async make() {
    const { pipeline } = await write("createPipeline", "pipeline { id }", { name: "Sales" });
    const stages = [];
    for (const [position, [name, probability]] of Object.entries({ New: 20, Talks: 60, Offer: 90 }).entries()) {
      const input = { pipelineId: pipeline.id, name, probability, position };
      stages.push((await write("createStage", "stage { id }", input)).stage.id);
    }
    return Object.assign(new Pipeline(), { id: pipeline.id, stages });
  }

  async deal(name, amount, stage = 0) {
    const input = { name, stageId: this.stages[stage], amount: { amount, currency: "USD" } };
    return (await write("createOpportunity", "opportunity { id version }", input)).opportunity;
  }

  // Brings the deal's version up to date; answers the revision.
  async move(deal, stage) {
    const input = { opportunityId: deal.id, stageId: this.stages[stage], expectedVersion: deal.version };
    const { revision, opportunity } = await write("moveOpportunity", "revision opportunity { version }", input);
    deal.version = opportunity.version;
    return revision;
  }

  async remove(deal) {
    const document = "mutation ($input: RecordInput!) { deleteOpportunity(input: $input) { revision } }";
    return (await ask(document, { input: { id: deal.id } })).deleteOpportunity.revision;
  }
}

// Stands between a client and the server, until the test is over.
export class Wire {
  static async lay(t) {
    const wire = new Wire();
    const { hostname, port, pathname } = new URL(url);
    wire.sockets = new Set();
    wire.whole = true;
    wire.server = net.createServer((near) => {
      if (!wire.whole) return near.destroy();
      const far = net.connect(port, hostname);
      for (const [socket, other] of [[near, far], [far, near]]) {
        wire.sockets.add(socket);
        socket.on("error", () => {}); // a cut is one
        socket.on("close", () => wire.sockets.delete(socket) && other.destroy());
        socket.pipe(other);
      }
    });
    await new Promise((listening) => wire.server.listen(0, "127.0.0.1", listening));
    t.after(() => wire.remove());
    wire.url = `http://127.0.0.1:${wire.server.address().port}${pathname}`;
    return wire;
  }

  // Nobody gets through until it is mended.
  cut() {
    this.whole = false;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() {
    this.whole = true;
  }

  async remove() {
    this.cut();
    await new Promise((closed) => this.server.close(closed));
  }
}
