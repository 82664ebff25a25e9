import { readFileSync, writeFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const urls = JSON.parse(readFileSync("subgraphs.json", "utf8"));
const sdl = (name) => parse(readFileSync(`${name}.graphql`, "utf8"));
const services = Object.entries(urls).map(([name, url]) => ({ name, url, typeDefs: sdl(name) }));
const { errors, supergraphSdl } = composeServices(services);
if (errors) throw new AggregateError(errors, errors.join("\n"));
writeFileSync("supergraph.graphql", supergraphSdl);
