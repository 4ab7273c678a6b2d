"""Our speed against what one would use instead."""
