import {
  BoardDocument,
  CreateOpportunityDocument,
  FollowBoardDocument,
  type CardFragment,
  type TypedDocumentString,
} from "./gql/graphql.js";
import { connect } from "./socket.js";

const url = setting("CRM_GRAPH_URL").replace("http", "ws");
const token = setting("CRM_GRAPH_TOKEN");
const client = connect(url, () => token);
client.on("closed", (end) => console.error(`The connection to ${url} ended:`, explained(end)));
const pipelineId = setting("PIPELINE");
const names = new Map<string, string>(); // by stage id
const cards = new Map<string, CardFragment>();
const ends = new Map<string, CardFragment>(); // by stage id: the last card read, if the stage has more

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`Set ${name} first.`);
  return value;
}

async function* answers<Data, Variables extends Record<string, unknown>>(
  document: TypedDocumentString<Data, Variables>,
  variables: Variables,
) {
  for await (const { data, errors } of client.iterate<Data>({ query: document.toString(), variables })) {
    if (errors) throw errors;
    if (data) yield data;
  }
}

async function ask<Data, Variables extends Record<string, unknown>>(
  document: TypedDocumentString<Data, Variables>,
  variables: Variables,
) {
  for await (const data of answers(document, variables)) return data;
  throw new Error("There was no answer.");
}

function isHeld(card: CardFragment): boolean {
  const end = ends.get(card.stage?.id ?? "");
  return !end || card.rank < end.rank || (card.rank === end.rank && card.id <= end.id);
}

function text({ name, amount, stage }: CardFragment): string {
  return `${name}: ${amount?.amount} ${amount?.currency}, ${names.get(stage?.id ?? "")}`;
}

async function read(): Promise<string> {
  const { pipelineBoard: board } = await ask(BoardDocument, { pipelineId });
  if (!board) throw new Error("There is no such pipeline, or it may not be seen.");
  for (const kept of [names, cards, ends]) kept.clear();
  for (const { stage, cards: page } of board.stages) {
    names.set(stage.id, stage.name);
    for (const card of page.nodes) cards.set(card.id, card);
    if (page.pageInfo.hasNextPage) ends.set(stage.id, page.nodes.at(-1)!);
  }
  for (const card of cards.values()) console.log(text(card));
  return board.revision;
}

async function follow(after: string): Promise<void> {
  const variables = { pipelineId, after };
  for await (const { pipelineBoard: update } of answers(FollowBoardDocument, variables)) {
    for (const { stage } of update.stages) names.set(stage.id, stage.name);
    for (const id of update.removedStageIds) names.delete(id);
    for (const { kind, opportunityId, opportunity: card } of update.events) {
      if (card && isHeld(card)) cards.set(card.id, card);
      else cards.delete(opportunityId);
      console.log(kind, card ? text(card) : opportunityId);
    }
    if (update.caughtUp) console.log(`${cards.size} cards at ${update.revision}`);
    variables.after = update.revision; // a reconnect resumes here
  }
}

async function add(name: string): Promise<void> {
  const input = { name, stageId: [...names.keys()][0]!, amount: { amount: "1250.50", currency: "USD" } };
  const { createOpportunity: made } = await ask(CreateOpportunityDocument, { input });
  for (const { field, message } of made.userErrors) console.error(`${field}: ${message}`);
}

function isResync(reason: unknown): boolean {
  return Array.isArray(reason) && reason.some(({ extensions }) => extensions.code === "RESYNC");
}

// Text of what ended an operation: GraphQL errors, a close event, or an exception.
function explained(reason: unknown): string {
  if (Array.isArray(reason)) return reason.map(({ message }) => message).join("\n");
  const { code, reason: why, message } = reason as Partial<CloseEvent & Error>;
  return message ?? `${code} ${why}`;
}

// @ts-expect-error The id of a pipeline is a string.
export const wrong = () => ask(BoardDocument, { pipelineId: 1 });
// @ts-expect-error Cards have no such field.
export const unknown = (card: CardFragment) => card.probability;

const toAdd = process.argv.slice(2);
for (;;) {
  try {
    const revision = await read();
    for (const name of toAdd.splice(0)) await add(name);
    await follow(revision);
  } catch (reason) {
    if (isResync(reason)) continue;
    console.error(explained(reason));
    process.exit(1);
  }
}
