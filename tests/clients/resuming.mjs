// A client of graphql-ws or graphql-sse whose subscriptions go on where they stood when the connection breaks.
//
// Both send an operation anew after each reconnect, and write its JSON only then. So it is enough to keep its variable
// `after` at the revision of the last message that was applied.

export function resuming(client) {
  return {
    ...client,
    subscribe(payload, sink, ...rest) {
      const variables = { ...payload.variables };
      const next = (answer) => {
        sink.next(answer);
        for (const update of Object.values(answer.data ?? {})) {
          if (update?.revision) variables.after = update.revision;
        }
      };
      return client.subscribe({ ...payload, variables }, { ...sink, next }, ...rest);
    },
  };
}
