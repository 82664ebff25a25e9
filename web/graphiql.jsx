// The GraphiQL page. Its configuration is the JSON in <script id="config">:
// { endpoint, token: string | null, examples: [{ name, query, variables }] }
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import "./graphiql.css";

const { endpoint, token, examples } = JSON.parse(document.getElementById("config").textContent);
const tokenHeaders = token ? { Authorization: `Bearer ${token}` } : {};

globalThis.MonacoEnvironment = {
  getWorker(_id, label) {
    const name = ["graphql", "json"].includes(label) ? label : "editor";
    return new Worker(new URL(`./${name}.worker.js`, import.meta.url), { type: "module" });
  },
};

// What is sent is what the headers editor holds, or the given token when that is empty.
// A subscription sends the same as its connection_init payload.
const socket = new URL(endpoint, location.href);
socket.protocol = socket.protocol.replace("http", "ws");
const send = createGraphiQLFetcher({ url: endpoint, subscriptionUrl: socket.href });

function fetcher(params, { headers = tokenHeaders, ...options } = {}) {
  const lowerCase = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  return send(params, { ...options, headers: Object.fromEntries(lowerCase) });
}

// The browser's storage, but tokens are not kept in it: the history comes with headers.
const withoutHeaders = (json) =>
  JSON.stringify(JSON.parse(json), (key, value) => (key === "headers" ? undefined : value));
const storage = {
  getItem: (key) => localStorage.getItem(key),
  setItem: (key, value) =>
    localStorage.setItem(key, /:(queries|favorites)$/.test(key) ? withoutHeaders(value) : value),
  removeItem: (key) => localStorage.removeItem(key),
  clear: () => localStorage.clear(),
  get length() {
    return localStorage.length;
  },
};

const tabs = examples.map(({ name, query, variables }) => ({
  query: `# ${name}\n${query}`,
  variables: variables && JSON.stringify(variables, null, 2),
}));
// On the first visit the examples are the tabs. GraphiQL would leave out the variables
// of the first one, so it finds them where it keeps those of the tab last used.
if (tabs.length && !storage.getItem("graphiql:tabState")) {
  storage.setItem("graphiql:query", tabs[0].query);
  storage.setItem("graphiql:variables", tabs[0].variables ?? "");
}

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storage}
    defaultTabs={tabs.length ? tabs : undefined}
    defaultHeaders={token ? JSON.stringify(tokenHeaders, null, 2) : undefined}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Logo>CRM Graph</GraphiQL.Logo>
  </GraphiQL>,
);
