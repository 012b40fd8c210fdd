"""Is the circuit the behaviour? Everything outside it is knocked out, then parts of it, and the answer is measured."""
