"""The limiter's facts and storage: what the functions, the component and the operator's command share."""
