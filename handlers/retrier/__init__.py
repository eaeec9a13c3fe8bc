"""The functions of a retrier: one that makes a call, and one that takes calls in."""
