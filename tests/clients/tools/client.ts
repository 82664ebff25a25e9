import { createClient } from "graphql-sse";
import {
  BoardDocument,
  CreateOpportunityDocument,
  FollowBoardDocument,
  type CardFragment,
  type TypedDocumentString,
} from "./gql/graphql.js";

declare const process: { env: Record<"CRM_GRAPH_URL" | "CRM_GRAPH_TOKEN" | "PIPELINE", string> };
const { CRM_GRAPH_URL: url, CRM_GRAPH_TOKEN: token, PIPELINE: pipelineId } = process.env;
const headers = { Authorization: `Bearer ${token}` };
const live = createClient({ url, headers, retryAttempts: Infinity });

async function ask<Data, Variables>(document: TypedDocumentString<Data, Variables>, variables: Variables) {
  const request = { method: "POST", headers: { ...headers, "Content-Type": "application/json" } };
  const response = await fetch(url, { ...request, body: JSON.stringify({ query: document, variables }) });
  const { data, errors } = (await response.json()) as { data: Data; errors?: { message: string }[] };
  if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
  return data;
}

async function* follow<Data, Variables extends Record<string, unknown>>(
  document: TypedDocumentString<Data, Variables>,
  variables: Variables,
) {
  for await (const { data, errors } of live.iterate<Data>({ query: document.toString(), variables })) {
    if (errors) throw new Error(errors.map(({ message }) => message).join("\n"));
    if (data) yield data;
  }
}

const { pipelineBoard: board } = await ask(BoardDocument, { pipelineId });
if (!board) throw new Error("There is no such pipeline, or it may not be seen.");
const cards = new Map<string, CardFragment>();
for (const { cards: page } of board.stages) for (const card of page.nodes) cards.set(card.id, card);

const stageId = board.stages[0]!.stage.id;
const input = { name: "Typed", stageId, amount: { amount: "1250.50", currency: "USD" } };
const { createOpportunity: made } = await ask(CreateOpportunityDocument, { input });
if (made.userErrors.length) throw new Error(made.userErrors.map(({ message }) => message).join("\n"));

for await (const { pipelineBoard: update } of follow(FollowBoardDocument, { pipelineId, after: board.revision })) {
  for (const { kind, opportunityId, opportunity } of update.events) {
    if (kind === "LEFT" || !opportunity) cards.delete(opportunityId);
    else cards.set(opportunityId, opportunity);
  }
  if (update.caughtUp && cards.size) break;
}
for (const { name, amount } of cards.values()) console.log(`${name}: ${amount?.amount} ${amount?.currency}`);

// @ts-expect-error The id of a pipeline is a string.
export const wrong = () => ask(BoardDocument, { pipelineId: 1 });
// @ts-expect-error Cards have no such field.
export const unknown = (card: CardFragment) => card.probability;
