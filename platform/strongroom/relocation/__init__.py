"""A tenant goes over to another cell: its rows are copied while it works, compared, and then it lives there."""
