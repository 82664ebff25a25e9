import { readFileSync } from "node:fs";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";

const willSendRequest = ({ request, context }) => request.http.headers.set("authorization", context.token ?? "");
const gateway = new ApolloGateway({
  supergraphSdl: readFileSync("supergraph.graphql", "utf8"),
  buildService: ({ url }) => new RemoteGraphQLDataSource({ url, willSendRequest }),
});
await startStandaloneServer(new ApolloServer({ gateway }), {
  context: async ({ req }) => ({ token: req.headers.authorization }),
  listen: { port: Number(process.env.PORT ?? 4000) },
});
