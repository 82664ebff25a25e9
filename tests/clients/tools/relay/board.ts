import { graphql } from "relay-runtime";

export const Board = graphql`
  query boardQuery($id: ID!) {
    pipelineBoard(pipelineId: $id) {
      revision
      stages {
        stage { id name }
        cards(first: 20) @connection(key: "board_cards") { edges { node { id name rank } } }
      }
    }
  }
`;

export const Follow = graphql`
  subscription boardFollowSubscription($id: ID!, $after: String) {
    pipelineBoard(pipelineId: $id, after: $after) {
      revision
      caughtUp
      events { kind opportunityId opportunity { id rank name stage { id } } }
    }
  }
`;
