// The programs of docs/clients/stitching.md: each makes one graph of the server and those of two other teams.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { once } from "node:events";
import { before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { colleague, setting, token, url, write } from "../crm.mjs";
import { BILLING, SUCCESS, billing, success } from "./subgraphs.mjs";

const START_MS = 30_000;
const CUSTOMERS = `{
  accounts(orderBy: { field: NAME }) { nodes { name externalId balance { amount currency } health } }
}`;
const INVOICES = "{ invoices { number total { amount } account { name owner { name } balance { amount } health } } }";
const ids = {};

before(async () => {
  for (const [name, externalId] of Object.entries({ Acme: "C-1", Bolt: "C-2", Cafe: undefined })) {
    ids[name] = (await write("createAccount", "account { id }", { name, externalId })).account.id;
  }
});

function run(program, cwd, environment = {}) {
  const file = path.join(import.meta.dirname, `${program}.mjs`);
  return spawn(process.execPath, [file], { cwd, env: { ...process.env, ...environment }, stdio: "inherit" });
}

async function freePort() {
  const server = net.createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

// A gateway that runs until the test is over, and the graphs behind it.
async function company(t, gateway, ...prepare) {
  const cwd = mkdtempSync(path.join(tmpdir(), "gateways-"));
  t.after(() => rmSync(cwd, { recursive: true }));
  const other = {
    billing: await billing(t, {
      balances: { "C-1": "12.5" },
      invoices: [["I-1", "5", "C-1"], ["I-2", "6", "C-9"], ["I-3", "6.25", "C-2"]],
    }),
    success: await success(t, { [ids.Acme]: 7, [ids.Cafe]: 9 }),
  };
  writeFileSync(
    path.join(cwd, "subgraphs.json"),
    JSON.stringify({ crm: url, billing: other.billing.url, success: other.success.url }),
  );
  copyFileSync(setting("SUBGRAPH"), path.join(cwd, "crm.graphql"));
  writeFileSync(path.join(cwd, "billing.graphql"), BILLING);
  writeFileSync(path.join(cwd, "success.graphql"), SUCCESS);
  for (const program of prepare) {
    const [code] = await once(run(program, cwd), "exit");
    assert.equal(code, 0);
  }
  const port = await freePort();
  const process = run(gateway, cwd, { PORT: port, NODE_ENV: "production" });
  const ended = once(process, "exit");
  t.after(async () => {
    process.kill("SIGKILL");
    await ended;
  });
  const ask = async (query, by = token) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${by}` };
    const request = { method: "POST", headers, body: JSON.stringify({ query }) };
    return (await fetch(`http://127.0.0.1:${port}/graphql`, request)).json();
  };
  const deadline = Date.now() + START_MS;
  for (;;) {
    try {
      await ask("{ __typename }");
      return { ...other, ask };
    } catch (error) {
      if (process.exitCode !== null || Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

for (const [name, ...programs] of [
  ["@apollo/gateway", "apollo", "compose"],
  ["@graphql-hive/gateway-runtime", "hive", "compose"],
  ["@graphql-tools/stitch", "stitch"],
]) {
  describe(name, { timeout: 60_000 }, () => {
    test("the server's accounts with what others know of them, and theirs with what it knows", async (t) => {
      const { ask, billing, success } = await company(t, ...programs);

      const { data, errors } = await ask(CUSTOMERS);
      assert.equal(errors, undefined, JSON.stringify(errors));
      assert.deepEqual(data.accounts.nodes, [
        { name: "Acme", externalId: "C-1", balance: { amount: "12.5", currency: "USD" }, health: 7 },
        { name: "Bolt", externalId: "C-2", balance: null, health: null },
        { name: "Cafe", externalId: null, balance: null, health: 9 },
      ]);
      assert.equal(billing.asked.filter((variables) => variables?.representations).length, 1);
      assert.equal(success.asked.filter((variables) => variables?.representations).length, 1);

      const owner = { name: "Ada Admin" };
      assert.deepEqual((await ask(INVOICES)).data.invoices, [
        { number: "I-1", total: { amount: "5" }, account: { name: "Acme", owner, balance: { amount: "12.5" }, health: 7 } },
        { number: "I-2", total: { amount: "6" }, account: null },
        { number: "I-3", total: { amount: "6.25" }, account: { name: "Bolt", owner, balance: null, health: null } },
      ]);
      assert.deepEqual((await ask("{ happiest { name health balance { amount } } }")).data, {
        happiest: { name: "Cafe", health: 9, balance: null },
      });

      // What the asker may not see is not there, by whatever way.
      const stranger = await colleague();
      await write("updateWorkspace", "revision", { accountVisibility: "PRIVATE" });
      t.after(() => write("updateWorkspace", "revision", { accountVisibility: "PUBLIC" }));
      assert.deepEqual((await ask(CUSTOMERS, stranger)).data.accounts.nodes, []);
      assert.deepEqual((await ask(INVOICES, stranger)).data.invoices.map(({ account }) => account), [null, null, null]);
      assert.equal((await ask("{ happiest { name } }", stranger)).data.happiest, null);
      assert.equal((await ask("{ happiest { name } }", "nobody's")).data.happiest, null);
    });
  });
}
