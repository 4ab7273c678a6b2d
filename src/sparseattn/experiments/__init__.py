"""A spec becomes a run, kept safely; many of them."""
