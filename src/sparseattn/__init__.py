"""Does sparse attention make a text classifier easier to interpret?"""

# First: torch and numpy choose their kernels when they are loaded.
from sparseattn import arithmetic as arithmetic
