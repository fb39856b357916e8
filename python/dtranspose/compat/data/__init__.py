"""Classes that parsers return."""
