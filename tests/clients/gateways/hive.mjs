import { readFileSync } from "node:fs";
import http from "node:http";
import { createGatewayRuntime } from "@graphql-hive/gateway-runtime";

const gateway = createGatewayRuntime({
  supergraph: readFileSync("supergraph.graphql", "utf8"),
  propagateHeaders: {
    fromClientToSubgraphs: ({ request }) => ({ authorization: request.headers.get("authorization") }),
  },
});
http.createServer(gateway).listen(process.env.PORT ?? 4000);
