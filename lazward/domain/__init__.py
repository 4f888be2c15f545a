"""What the product decides: pure functions and declarations. No I/O, no clock, no HTTP. Imports contract."""
