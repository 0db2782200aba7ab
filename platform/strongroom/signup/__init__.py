"""People make their own accounts, where their tenant allows it: a mail proves the address, and nothing is kept before that."""
