"""What the emulator lacks of API Gateway's integrations: it runs there as a function of its own."""
