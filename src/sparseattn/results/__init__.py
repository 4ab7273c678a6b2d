"""Published measurements, read and written."""
