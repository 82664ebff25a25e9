// The audits of graphql-http: what a server does by the specification «GraphQL over HTTP», and what it had better do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { serverAudits } from "graphql-http";

const audits = serverAudits({ url: process.env.CRM_GRAPH_TEST_URL });

test("there are 61 audits", () => assert.equal(audits.length, 61));

for (const { id, name, fn } of audits) {
  test(`${id} ${name}`, async () => {
    const result = await fn();
    assert.equal(result.status, "ok", result.reason);
  });
}
