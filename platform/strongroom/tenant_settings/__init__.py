"""What a tenant sees and changes of itself: its name, brand and quota."""
