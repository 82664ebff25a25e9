// @apollo/client: queries and mutations by HTTP, subscriptions by graphql-ws, and all of it in one cache.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { Defer20220824Handler, GraphQL17Alpha9Handler } from "@apollo/client/incremental";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import WebSocket from "ws";
import { BOARD, BOARD_UPDATES } from "./board.mjs";
import { Pipeline, token, until, url, write } from "./crm.mjs";
import { authorization, openSocket, withoutNames } from "./opening.mjs";
import { TEST, opened, serves } from "./scenarios.mjs";

globalThis.WebSocket ??= WebSocket; // GraphQLWsLink takes it to be there, as it is in browsers and from Node 22 on

function openApollo({ url, token }, settings = {}) {
  const { client: socket, seen } = openSocket({ url, token });
  const http = new HttpLink({
    uri: url,
    fetch: async (uri, options) =>
      fetch(uri, { ...options, headers: { ...options.headers, authorization: await authorization(token) } }),
  });
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    ...settings,
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket),
      http,
    ),
  });
  const close = async () => {
    client.stop();
    await socket.dispose();
  };
  return { client, seen, close };
}

function open(options) {
  const { client, seen, close } = openApollo(options);
  return {
    seen,
    close,
    async ask(document, variables) {
      const operation = gql(document);
      const isMutation = operation.definitions[0].operation === OperationTypeNode.MUTATION;
      try {
        const { data } = isMutation
          ? await client.mutate({ mutation: operation, variables })
          : await client.query({ query: operation, variables, fetchPolicy: "network-only" });
        return withoutNames(data);
      } catch (error) {
        throw errorsOf(error);
      }
    },
    follow(document, variables, { next, refused, completed }) {
      const subscription = client.subscribe({ query: gql(document), variables }).subscribe({
        next: ({ data, error }) => (error ? refused(errorsOf(error)) : next(withoutNames(data))),
        error: (error) => refused(errorsOf(error)),
        complete: completed,
      });
      return () => subscription.unsubscribe();
    },
  };
}

function errorsOf(error) {
  return CombinedGraphQLErrors.is(error) ? error.errors : [error];
}

serves("@apollo/client", open);

test("the messages of a board bring what was queried by id up to date", TEST, async (t) => {
  const warnings = ["warn", "error"].map((level) => t.mock.method(console, level).mock);
  const pipeline = await Pipeline.make();
  const [deal, other] = [await pipeline.deal("Big", "1200.50"), await pipeline.deal("Other", "1")];
  const { client } = opened(t, openApollo, { url, token });
  const { data } = await client.query({ query: gql(BOARD), variables: { pipelineId: pipeline.id } });
  const watched = [];
  const query = gql("query Card($id: ID!) { opportunity(id: $id) { id name version stage { id } } }");
  const watching = client.watchQuery({ query, variables: { id: deal.id } }).subscribe(({ data }) => {
    if (data?.opportunity) watched.push(withoutNames(data.opportunity));
  });
  await until("the card", () => watched.length === 1);
  const variables = { pipelineId: pipeline.id, after: data.pipelineBoard.revision };
  const following = client.subscribe({ query: gql(BOARD_UPDATES), variables }).subscribe({});

  await pipeline.move(deal, 1);
  await until("the card in the second stage", () => watched.length === 2);
  await pipeline.remove(other);
  await pipeline.move(deal, 2);
  await until("the card in the third stage", () => watched.length === 3);

  const card = { id: deal.id, name: "Big" };
  assert.deepEqual(
    watched,
    pipeline.stages.map((id, place) => ({ ...card, version: place + 1, stage: { id } })),
  );
  assert.deepEqual(warnings.flatMap(({ calls }) => calls.map((call) => call.arguments)), []);
  following.unsubscribe();
  watching.unsubscribe();
});

for (const [format, Handler] of Object.entries({ GraphQL17Alpha9Handler, Defer20220824Handler })) {
  test(`what is deferred or streamed comes later, for ${format}`, TEST, async (t) => {
    const { account } = await write("createAccount", "account { id }", { name: "Acme", website: "https://acme.example" });
    for (const lastName of ["A", "B", "C"]) {
      await write("createContact", "contact { id }", { lastName, accountId: account.id });
    }
    const { client } = opened(t, (options) => openApollo(options, { incrementalHandler: new Handler() }), { url, token });
    const query = gql`
      query Customer($id: ID!) {
        account(id: $id) {
          id
          name
          ... @defer(label: "rest") {
            website
          }
          contacts(orderBy: [{ field: LAST_NAME }]) {
            nodes @stream(initialCount: 1) {
              id
              lastName
            }
          }
        }
      }
    `;
    const seen = [];
    const watching = client
      .watchQuery({ query, variables: { id: account.id }, fetchPolicy: "no-cache" })
      .subscribe(({ data, dataState }) => dataState !== "empty" && seen.push([dataState, withoutNames(data).account]));
    // Apollo may call a result complete before it has merged the last streamed items.
    await until("all of it", () => seen.at(-1)?.[0] === "complete" && seen.at(-1)[1].contacts.nodes.length === 3);

    const contacts = { nodes: [{ lastName: "A" }, { lastName: "B" }, { lastName: "C" }] };
    const told = ({ id, ...rest }) => JSON.parse(JSON.stringify(rest, (key, value) => (key === "id" ? undefined : value)));
    assert.equal(seen[0][0], "streaming");
    assert.deepEqual(told(seen[0][1]), { name: "Acme", contacts: { nodes: [{ lastName: "A" }] } });
    assert.deepEqual(told(seen.at(-1)[1]), { name: "Acme", website: "https://acme.example", contacts });
    watching.unsubscribe();
  });
}
