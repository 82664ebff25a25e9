"""Two executions of the same read operations, over the same rows, must give the same answer."""
