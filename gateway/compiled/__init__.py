"""The hot path as machine code: the same Python source, compiled by mypyc beside it (docs/adr). Without it everything runs as Python."""
