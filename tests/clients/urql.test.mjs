// @urql/core: queries and mutations by HTTP, subscriptions by graphql-ws, by graphql-sse, or by its own event streams.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from "@urql/core";
import { BOARD_UPDATES } from "./board.mjs";
import { Pipeline, token, url } from "./crm.mjs";
import { authorization, openEvents, openSocket } from "./opening.mjs";
import { Follower, TEST, opened, queryBoard, serves } from "./scenarios.mjs";

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
  return {
    async ask(document, variables) {
      const isMutation = document.trimStart().startsWith("mutation");
      const { data, error } = await (isMutation ? client.mutation(document, variables) : client.query(document, variables));
      if (error) throw errorsOf(error);
      return withoutNames(data);
    },
    follow(document, variables, { next, refused }) {
      const { unsubscribe } = client.subscription(document, variables).subscribe(({ data, error }) => {
        if (error) refused(errorsOf(error));
        else next(data);
      });
      return unsubscribe;
    },
    close: () => transport?.dispose(),
  };
}

function errorsOf({ graphQLErrors, networkError }) {
  return networkError ? [networkError] : graphQLErrors;
}

// The cache asks for the __typename of everything that is queried.
function withoutNames(data) {
  return JSON.parse(JSON.stringify(data, (name, value) => (name === "__typename" ? undefined : value)));
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
  const variables = { pipelineId: pipeline.id, after: board.revision };
  const follower = new Follower(client, BOARD_UPDATES, variables, (update) => board.apply(update));
  await follower.told(1);

  await pipeline.move(deal, 1);
  await follower.told(2);

  assert.deepEqual(board, await queryBoard(client, pipeline));
  follower.cancel();
});
