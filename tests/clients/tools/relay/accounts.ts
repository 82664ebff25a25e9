import { graphql } from "relay-runtime";

export const Account = graphql`
  query accountsQuery($id: ID!) {
    account(id: $id) {
      name
      annualRevenue { amount currency }
      ...accounts_contacts
      ...accounts_timeline
    }
  }
`;

export const Contacts = graphql`
  fragment accounts_contacts on Account
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" })
  @refetchable(queryName: "accountsContactsQuery") {
    contacts(first: $count, after: $cursor) @connection(key: "accounts_contacts") {
      edges { node { id lastName } }
    }
  }
`;

export const Timeline = graphql`
  fragment accounts_timeline on Account {
    timeline(first: 5) @connection(key: "accounts_timeline") {
      edges { node { id at } }
    }
  }
`;

export const AddContact = graphql`
  mutation accountsAddContactMutation($input: CreateContactInput!, $connections: [ID!]!) {
    createContact(input: $input) {
      userErrors { code field message }
      contact @appendNode(connections: $connections, edgeTypeName: "ContactEdge") { id lastName }
    }
  }
`;
