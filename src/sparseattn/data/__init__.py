"""Documents: a name or a file becomes a task."""
