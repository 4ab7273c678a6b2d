"""Does sparse attention make a text classifier easier to interpret?"""
