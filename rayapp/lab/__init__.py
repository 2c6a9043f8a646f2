"""What measures, compares and reproduces: it uses the product, and the product never uses it."""
