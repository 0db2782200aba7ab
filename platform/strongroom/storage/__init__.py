"""Where bytes live: the provider interface, one module per provider, the key builder, and the view bound to a prefix."""
