"""The package itself has nothing in it."""
