// Documents by their ids: Apollo's automatic persisted queries, and trusted documents from the manifest trusted.json,
// as @graphql-codegen's client-preset and relay-compiler write it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gql } from "@apollo/client";
import { Client, fetchExchange } from "@urql/core";
import { Kind } from "graphql";
import { Pipeline, token, url } from "./crm.mjs";
import { openEvents, openSocket } from "./opening.mjs";
import { openApollo, recording, sha256 } from "./persisting.mjs";
import { TEST } from "./scenarios.mjs";

const NAME = "Ada Admin";
const trusted = Object.entries(JSON.parse(await readFile(new URL("trusted.json", import.meta.url), "utf8")));
const [me, board] = trusted.map(([id]) => id);
const persistedQuery = (hash) => ({ persistedQuery: { version: 1, sha256Hash: hash } });

for (const [how, options, method] of [
  ["POST", {}, "POST"],
  ["GET", { useGETForHashedQueries: true }, "GET"],
]) {
  test(`@apollo/client has its queries kept, and names them by their hashes with ${how}`, TEST, async (t) => {
    const query = gql(`query By${how}${Date.now()} { viewer { name } }`);
    const sent = [];
    for (let time = 0; time < 2; time += 1) {
      const client = openApollo(sent, options);
      t.after(() => client.stop());
      const { data } = await client.query({ query });
      assert.equal(data.viewer.name, NAME);
    }

    assert.deepEqual(sent, [[method, false, 400], ["POST", true, 200], [method, false, 200]]);
  });
}

test("@urql/core names a trusted document", TEST, async (t) => {
  const { NODE_ENV } = process.env;
  process.env.NODE_ENV = "production"; // in development it looks into documents, and finds nothing in this one
  t.after(() => (process.env.NODE_ENV = NODE_ENV ?? ""));
  for (const [preferGetMethod, method] of [[false, "POST"], ["force", "GET"]]) {
    const sent = [];
    const headers = { "apollo-require-preflight": "1" };
    const options = { url, preferGetMethod, fetchOptions: { headers }, fetch: recording(sent) };
    const client = new Client({ ...options, exchanges: [fetchExchange] });
    const document = { kind: Kind.DOCUMENT, definitions: [], documentId: me };

    const { data, error } = await client.query(document, {}).toPromise();

    assert.equal(error, undefined);
    assert.equal(data.viewer.name, NAME);
    assert.deepEqual(sent, [[method, false, 200]]);
  }
});

for (const [name, open] of [
  ["graphql-ws", (options) => openSocket(options).client],
  ["graphql-sse", openEvents],
]) {
  test(`${name} names a trusted document, and has its own kept`, TEST, async (t) => {
    const client = open({ url, token });
    t.after(() => client.dispose());
    const { id } = await Pipeline.make();
    const text = `subscription By${Date.now()}($id: ID!) { pipelineBoard(pipelineId: $id) { caughtUp } }`;
    const first = (operation) =>
      new Promise((answered, failed) => {
        const stop = client.subscribe({ variables: { id }, query: "", ...operation }, {
          next: (answer) => (answered(answer), stop()),
          error: failed,
          complete: () => {},
        });
      });
    const follows = async (operation) => {
      const { data, errors } = await first(operation);
      assert.equal(errors, undefined, JSON.stringify(errors));
      assert.equal(data.pipelineBoard.caughtUp, true);
    };

    await follows({ extensions: persistedQuery(board) });
    const asked = first({ extensions: persistedQuery(sha256(text)) });
    const refused = await asked.then(({ errors }) => errors, (errors) => errors); // graphql-sse, graphql-ws
    assert.equal(refused[0].extensions.code, "PERSISTED_QUERY_NOT_FOUND");
    await follows({ query: text, extensions: persistedQuery(sha256(text)) });
    await follows({ extensions: persistedQuery(sha256(text)) });
  });
}
