"""Parts of statements that write an answer's JSON in the database."""
