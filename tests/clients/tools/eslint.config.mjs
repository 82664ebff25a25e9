import graphql from "@graphql-eslint/eslint-plugin";

export default [
  {
    files: ["**/*.graphql"],
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: "schema.graphql" } } },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-relay"].rules,
      // Relay asks for one direction: the cards of a board are paged downwards.
      "@graphql-eslint/relay-arguments": ["error", { includeBoth: false }],
      // Short lists, such as the email addresses of a contact, are not connections; an event of the audit is no record
      // that could be asked for by an id.
      "@graphql-eslint/relay-edge-types": [
        "error",
        { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false },
      ],
    },
  },
];
