"""Parameters become executed notebooks, and these a book."""
