"""Live lists: what the change log means to a list that a client follows."""
