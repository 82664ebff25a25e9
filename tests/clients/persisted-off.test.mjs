// @apollo/client's automatic persisted queries, where the server stores nothing: it says so once, and texts are sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gql } from "@apollo/client";
import { openApollo } from "./persisting.mjs";
import { TEST } from "./scenarios.mjs";

test("@apollo/client goes on with texts", TEST, async (t) => {
  const sent = [];
  const client = openApollo(sent, {});
  t.after(() => client.stop());

  for (const name of ["One", "Two"]) {
    const query = gql(`query ${name} { viewer { name } }`);
    const { data } = await client.query({ query, fetchPolicy: "network-only" });
    assert.equal(data.viewer.name, "Ada Admin");
  }

  assert.deepEqual(sent, [["POST", false, 400], ["POST", true, 200], ["POST", true, 200]]);
});
