import { createClient, type Client } from "graphql-ws";
import WebSocket from "ws"; // not needed in browsers and in Node 22: leave out `webSocketImpl` too

// A client that reconnects by itself, with the current token, until the server refuses that token.
export function connect(url: string, token: () => string | Promise<string>): Client {
  let silence: NodeJS.Timeout;
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ authorization: `Bearer ${await token()}` }),
    connectionAckWaitTimeout: 10_000,
    lazyCloseTimeout: 10_000, // so the next operation uses the same socket
    retryAttempts: Infinity,
    retryWait: (tries) => new Promise((go) => setTimeout(go, Math.random() * Math.min(1_000 * 2 ** tries, 30_000))),
    shouldRetry: (end) => !isRefused(end), // also if the server is unreachable
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

// True if reconnecting is useless. An expired token is not: `token()` is called again.
function isRefused(end: unknown): boolean {
  const { code, reason } = end as Partial<CloseEvent>;
  return code === 4403 && !/expired/.test(reason ?? "");
}
