"""Arrays of one document become numbers; numbers become means with intervals."""
