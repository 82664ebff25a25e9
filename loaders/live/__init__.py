"""Live lists: the change log as events of a list that a client follows."""
