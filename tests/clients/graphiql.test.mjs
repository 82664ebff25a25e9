// GraphiQL's page in a browser that can reach nothing but this machine: it comes signed in, its examples all run, and
// a live list follows what others do. CRM_GRAPH_TEST_SCREENSHOT is a file to keep a picture of that in.

import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { ask, until, url } from "./crm.mjs";
import { TEST } from "./scenarios.mjs";

const { CRM_GRAPH_TEST_CHROMIUM: executablePath, CRM_GRAPH_TEST_SCREENSHOT: picture } = process.env;
const HERE = "127.0.0.1";
const SETTLED_MS = 700;
const VIEW = { width: 1200, height: 760 };

// A page, with all that it asked for and complained of.
async function open(t, prepare = async () => {}) {
  const browser = await chromium.launch({
    executablePath,
    chromiumSandbox: false, // root has none
    args: [`--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${HERE}`],
  });
  t.after(() => browser.close());
  const page = await browser.newPage({ viewport: VIEW, colorScheme: "light" });
  page.setDefaultTimeout(20_000);
  const seen = { hosts: new Set(), complaints: [], messages: [] };
  page.on("request", (request) => {
    if (/^(http|ws)/.test(request.url())) seen.hosts.add(new URL(request.url()).hostname);
  });
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) seen.complaints.push(message.text());
  });
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("websocket", (socket) => {
    seen.hosts.add(new URL(socket.url()).hostname);
    socket.on("framereceived", ({ payload }) => seen.messages.push(JSON.parse(payload)));
  });
  await prepare(page);
  await page.goto(url);
  return { page, seen };
}

const shows = (page, text) => page.locator(".result-window .view-lines", { hasText: text }).waitFor();
const config = async (page) => JSON.parse(await page.locator("#config").textContent());

// Turns to the tab of an example, and presses the button.
async function execute(page, place) {
  await page.getByRole("tab").nth(place).click();
  await page.waitForTimeout(SETTLED_MS); // for a while GraphiQL takes the tab for the one before
  await page.locator(".graphiql-execute-button").click();
}

async function answer(page, place, example) {
  const answered = page.waitForResponse((response) => response.request().postDataJSON()?.query?.includes(example.query));
  await execute(page, place);
  return (await answered).json();
}

// Moves a card of the board to another stage, behind the page's back.
async function move(pipelineId) {
  const board = `query ($id: ID!) { pipelineBoard(pipelineId: $id) {
    stages { stage { id name } cards(first: 1) { nodes { id name version } } } } }`;
  const { stages } = (await ask(board, { id: pipelineId })).pipelineBoard;
  const [from, to] = [stages.find(({ cards }) => cards.nodes.length), stages[1]];
  assert.notEqual(from, to);
  const [card] = from.cards.nodes;
  const input = { opportunityId: card.id, stageId: to.stage.id, expectedVersion: card.version };
  const document = "mutation ($input: MoveOpportunityInput!) { moveOpportunity(input: $input) { userErrors { message } } }";
  assert.deepEqual((await ask(document, { input })).moveOpportunity.userErrors, []);
  return { card, to: to.stage };
}

test("its examples run, and a board is followed live", TEST, async (t) => {
  const { page, seen } = await open(t);
  await page.locator(".graphiql-execute-button").waitFor();
  const { examples } = await config(page);
  const live = examples.find(({ query }) => query.startsWith("subscription"));
  assert.equal(examples.length, 9);

  for (const [place, example] of examples.entries()) {
    if (example === live) continue;
    const { data, errors } = await answer(page, place, example);
    assert.equal(errors, undefined, JSON.stringify(errors));
    const [[field, value]] = Object.entries(data);
    assert.ok(value, field);
    assert.deepEqual(value.userErrors ?? [], []);
    await shows(page, `"${field}":`);
  }

  await execute(page, examples.indexOf(live));
  await until("the board, from here on", () => seen.messages.some(({ payload }) => payload?.data?.pipelineBoard.caughtUp));
  const { card, to } = await move(live.variables.pipelineId);
  await shows(page, '"kind": "MOVED"');
  const { kind, opportunity } = seen.messages.at(-1).payload.data.pipelineBoard.events[0];
  assert.deepEqual([kind, opportunity.name, opportunity.stage], ["MOVED", card.name, { name: to.name }]);

  if (picture) await page.screenshot({ path: picture });
  assert.deepEqual([...seen.hosts], [HERE]);
  assert.deepEqual(seen.complaints, []);
});

for (const [what, lost] of [["the script is", /graphiql\.js$/], ["script and style are", /\/static\//]]) {
  test(`where ${what} not there, a plain sentence is`, TEST, async (t) => {
    const { page } = await open(t, (page) => page.route(lost, (route) => route.abort()));

    await page.getByText("GraphiQL is not here. If it is not built, run scripts/build-web").waitFor();
  });
}
