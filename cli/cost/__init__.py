"""What operations and a stage cost: measured counts, published prices, and their product."""
