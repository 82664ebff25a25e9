// Two small graphs of other teams, each on a port of its own: billing knows accounts by their external ids, success by
// their ids.

import http from "node:http";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";
import { createHandler } from "graphql-http/lib/use/http";

export const BILLING = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])

type Query {
  invoices: [Invoice!]!
}
type Invoice {
  number: ID!
  total: Money!
  account: Account
}
type Account @key(fields: "externalId") {
  externalId: String
  balance: Money
}
type Money @shareable {
  amount: Decimal!
  currency: CurrencyCode!
}
scalar Decimal
scalar CurrencyCode
`;
export const SUCCESS = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])

type Query {
  happiest: Account
}
type Account @key(fields: "id") {
  id: ID!
  health: Int
}
`;

const usd = (amount) => amount && { amount, currency: "USD" };

// Invoices are [number, amount, external id of the account].
export function billing(t, { balances, invoices }) {
  const account = ({ externalId }) => ({ externalId, balance: usd(balances[externalId]) });
  return serve(t, BILLING, {
    Query: {
      invoices: () =>
        invoices.map(([number, amount, externalId]) => ({ number, total: usd(amount), account: account({ externalId }) })),
    },
    Account: { __resolveReference: account },
  });
}

export function success(t, health) {
  const account = ({ id }) => ({ id, health: health[id] });
  const [[happiest]] = Object.entries(health).sort(([, one], [, other]) => other - one);
  return serve(t, SUCCESS, {
    Query: { happiest: () => account({ id: happiest }) },
    Account: { __resolveReference: account },
  });
}

// Serves until the test is over; answers where, and the variables of all that it was asked.
async function serve(t, sdl, resolvers) {
  const asked = [];
  const handler = createHandler({
    schema: buildSubgraphSchema({ typeDefs: parse(sdl), resolvers }),
    onSubscribe: (_, { variables }) => void asked.push(variables),
  });
  const server = http.createServer(handler);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, asked };
}
