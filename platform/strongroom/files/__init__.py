"""Files and their versions: listing, metadata, download, trash, restore."""
