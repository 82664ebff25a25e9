// @urql/core: queries and mutations by HTTP, subscriptions by graphql-ws, by graphql-sse, or by its own event streams.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { Pipeline, token, until, url, write } from "./crm.mjs";
import { authorization, openEvents, openSocket, withoutNames } from "./opening.mjs";
import { TEST, keep, opened, queryBoard, serves } from "./scenarios.mjs";

function open({ url, token }, transport, options = {}) {
  const exchanges = [cacheExchange, fetchExchange];
  if (transport) {
    const forwardSubscription = ({ query, variables }) => ({
      subscribe: (sink) => ({ unsubscribe: transport.subscribe({ query, variables }, sink) }),
    });
    exchanges.push(subscriptionExchange({ forwardSubscription }));
  }
  const client = new Client({
    url,
    exchanges,
    preferGetMethod: false,
    requestPolicy: "network-only",
    fetch: async (input, init) =>
      fetch(input, { ...init, headers: { ...init.headers, authorization: await authorization(token) } }),
    ...options,
  });
  const following = [];
  return {
    async ask(document, variables) {
      const kind = document.trimStart().startsWith("mutation") ? "mutation" : "query";
      const { data, error } = await client[kind](document, variables);
      if (error) throw errorsOf(error);
      return withoutNames(data);
    },
    follow(document, variables, { next, refused }) {
      const { unsubscribe } = client.subscription(document, variables).subscribe(({ data, error }) => {
        if (error) refused(errorsOf(error));
        else next(data);
      });
      following.push(unsubscribe);
      return unsubscribe;
    },
    close() {
      for (const unsubscribe of following) unsubscribe();
      transport?.dispose();
    },
  };
}

function errorsOf({ graphQLErrors, networkError }) {
  return networkError ? [networkError] : graphQLErrors;
}

serves("@urql/core over graphql-ws", (options) => {
  const { client, seen } = openSocket(options);
  return { ...open(options, client), seen };
});

serves("@urql/core over graphql-sse", (options) => open(options, openEvents(options)));

test("its own event streams, which it does not open anew", TEST, async (t) => {
  const client = opened(t, (options) => open(options, null, { fetchSubscriptions: true }), { url, token });
  const pipeline = await Pipeline.make();
  const deal = await pipeline.deal("Big", "1200.50");
  const board = await queryBoard(client, pipeline);
  const follower = keep(client, pipeline, board);
  await follower.told(1);

  await pipeline.move(deal, 1);
  await follower.told(2);

  assert.deepEqual(board, await queryBoard(client, pipeline));
});

test("what is deferred comes later", TEST, async (t) => {
  const { account } = await write("createAccount", "account { id }", { name: "Acme", website: "https://acme.example" });
  const client = new Client({
    url,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    fetchOptions: { headers: { authorization: `Bearer ${token}` } },
  });
  const query = `query Customer($id: ID!) { account(id: $id) { name ... @defer(label: "rest") { website } } }`;
  const seen = [];
  const { unsubscribe } = client
    .query(query, { id: account.id })
    .subscribe(({ data, error, hasNext }) => seen.push([error, withoutNames(data), hasNext]));
  t.after(unsubscribe);
  await until("all of it", () => seen.at(-1)?.[2] === false);

  assert.deepEqual(seen, [
    [undefined, { account: { name: "Acme" } }, true],
    [undefined, { account: { name: "Acme", website: "https://acme.example" } }, false],
  ]);
});
