"""What the sections of an order are called."""

ORDER = "order"
