import { readFileSync } from "node:fs";
import http from "node:http";
import { buildHTTPExecutor } from "@graphql-tools/executor-http";
import { stitchSchemas } from "@graphql-tools/stitch";
import { schemaFromExecutor } from "@graphql-tools/wrap";
import { buildSchema } from "graphql";
import { createYoga } from "graphql-yoga";

const urls = JSON.parse(readFileSync("subgraphs.json", "utf8"));
const headers = ({ context }) => ({ authorization: context?.request.headers.get("authorization") ?? "" });
async function subschema(name, Account, sdl) {
  const executor = buildHTTPExecutor({ endpoint: urls[name], headers });
  const schema = sdl ? buildSchema(sdl, { assumeValidSDL: true }) : await schemaFromExecutor(executor);
  return { schema, executor, batch: true, merge: { Account } };
}
const byKey = (field) => ({
  selectionSet: `{ ${field} }`,
  fieldName: "_entities",
  key: (account) => ({ __typename: "Account", [field]: account[field] }),
  argsFromKeys: (representations) => ({ representations }),
});
const byId = { selectionSet: "{ id }", fieldName: "nodes", key: ({ id }) => id, argsFromKeys: (ids) => ({ ids }) };
const inPages = { ...byId, dataLoaderOptions: { maxBatchSize: 100 } };
const crm = await subschema("crm", { entryPoints: [inPages, byKey("externalId")] }, readFileSync("crm.graphql", "utf8"));
const others = [await subschema("billing", byKey("externalId")), await subschema("success", byKey("id"))];
const schema = stitchSchemas({ subschemas: [crm, ...others] });
http.createServer(createYoga({ schema })).listen(process.env.PORT ?? 4000);
