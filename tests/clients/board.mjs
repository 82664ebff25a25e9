// A board as a client keeps it: queried once, then kept up by the messages of its subscription.

const CARD = "id name version rank amount { amount currency } stage { id }";
const TOTALS = "stage { id } totals { count sums { currency count amount weighted } }";

export const BOARD = `
  query Board($pipelineId: ID!) {
    pipelineBoard(pipelineId: $pipelineId) {
      revision
      stages { ${TOTALS} cards(first: 100) { nodes { ${CARD} } } }
    }
  }`;

export const BOARD_UPDATES = `
  subscription BoardUpdates($pipelineId: ID!, $after: String) {
    pipelineBoard(pipelineId: $pipelineId, after: $after) {
      revision
      caughtUp
      events { kind revision actor { name } opportunityId opportunity { ${CARD} } }
      stages { ${TOTALS} }
      removedStageIds
    }
  }`;

export class Board {
  constructor({ revision, stages }) {
    this.revision = revision;
    this.cards = new Map(stages.flatMap(({ cards }) => cards.nodes).map((card) => [card.id, card]));
    this.totals = new Map(stages.map(({ stage, totals }) => [stage.id, totals]));
  }

  // All of a message is of one revision. One without events only brings the board to that.
  apply({ revision, events, stages, removedStageIds }) {
    for (const { kind, opportunityId, opportunity } of events) {
      if (kind === "LEFT") this.cards.delete(opportunityId);
      else this.cards.set(opportunityId, opportunity);
    }
    for (const { stage, totals } of stages) this.totals.set(stage.id, totals);
    for (const id of removedStageIds) this.totals.delete(id);
    this.revision = revision;
  }

  // The cards of a column in the order that people gave them.
  column(stageId) {
    const cards = [...this.cards.values()].filter(({ stage }) => stage.id === stageId);
    return cards.sort((a, b) => (a.rank === b.rank ? (a.id < b.id ? -1 : 1) : a.rank < b.rank ? -1 : 1));
  }
}
