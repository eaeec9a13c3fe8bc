"""What a retrier's component and its functions share."""
