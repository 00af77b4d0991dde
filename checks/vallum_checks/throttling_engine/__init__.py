"""What the check throttling is made of: bursts, what answers say of limits, pages that are too large."""
