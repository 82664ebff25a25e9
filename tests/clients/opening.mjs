// Clients of the two transports, which come back at once when they lose the server. Both take a token, or a function
// that is asked for one at each connection.

import { setTimeout as sleep } from "node:timers/promises";
import * as sse from "graphql-sse";
import * as ws from "graphql-ws";
import WebSocket from "ws";
import { resuming } from "./resuming.mjs";

const PAUSE_MS = 20;
const ATTEMPTS = 500;

// `seen` has the number of sockets that were opened, the codes they were closed with, and all that the server said.
export function openSocket({ url, token }) {
  const seen = { sockets: 0, closed: [], messages: [] };
  const client = ws.createClient({
    url: url.replace("http", "ws"),
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ authorization: await authorization(token) }),
    retryAttempts: ATTEMPTS,
    retryWait: () => sleep(PAUSE_MS),
    shouldRetry: () => true, // without this, a server that cannot be reached is not tried again
    on: {
      connected: () => (seen.sockets += 1),
      closed: ({ code }) => seen.closed.push(code),
      message: (message) => seen.messages.push(message),
    },
  });
  return { client: resuming(client), seen };
}

export function openEvents({ url, token }) {
  return resuming(
    sse.createClient({
      url,
      headers: async () => ({ authorization: await authorization(token) }),
      retryAttempts: ATTEMPTS,
      retry: () => sleep(PAUSE_MS),
    }),
  );
}

export async function authorization(token) {
  return `Bearer ${typeof token === "function" ? await token() : token}`;
}

// The caches of clients ask for the __typename of everything.
export function withoutNames(data) {
  return JSON.parse(JSON.stringify(data, (name, value) => (name === "__typename" ? undefined : value)));
}

// What graphql-ws and graphql-sse have in common, as the tests use clients. Where the protocol ends an operation with
// errors, graphql-ws calls error() with their list; errors beside data come in an answer, as do all in graphql-sse.
export function plain(client) {
  return {
    follow(query, variables, { next, refused, completed }) {
      return client.subscribe({ query, variables }, {
        next: ({ data, errors }) => (errors ? refused(errors) : next(data)),
        error: refused,
        complete: completed,
      });
    },
    ask(query, variables) {
      return new Promise((answered, failed) => {
        let answer;
        this.follow(query, variables, {
          next: (data) => (answer = data),
          refused: failed,
          completed: () => answered(answer),
        });
      });
    },
    close: () => client.dispose(),
  };
}
