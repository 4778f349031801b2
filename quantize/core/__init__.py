"""The compiler for the open core (edge_runtime/rtl, docs/core.md)."""
