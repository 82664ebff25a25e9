import { createClient, type Client } from "graphql-ws";
import WebSocket from "ws"; // browsers, and Node 22, have their own: leave out this and `webSocketImpl`

// A client that comes back by itself, each time with the token as it is then, until the server no longer takes that.
export function connect(url: string, token: () => string | Promise<string>): Client {
  let silence: NodeJS.Timeout;
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ authorization: `Bearer ${await token()}` }),
    connectionAckWaitTimeout: 10_000,
    lazyCloseTimeout: 10_000, // the next operation takes the same socket
    retryAttempts: Infinity,
    retryWait: (tries) => new Promise((go) => setTimeout(go, Math.random() * Math.min(1_000 * 2 ** tries, 30_000))),
    shouldRetry: (end) => !isRefused(end), // also where the server cannot be reached at all
    keepAlive: 15_000,
    on: {
      ping: (received) => {
        if (!received) silence = setTimeout(() => client.terminate(), 5_000);
      },
      pong: () => clearTimeout(silence),
      closed: () => clearTimeout(silence),
    },
  });
  return client;
}

// Whether the server said that there is nothing to come back with. A token that has only expired is asked for anew.
function isRefused(end: unknown): boolean {
  const { code, reason } = end as Partial<CloseEvent>;
  return code === 4403 && !/expired/.test(reason ?? "");
}
