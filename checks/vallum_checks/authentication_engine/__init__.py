"""What the check authentication is made of: tokens that were not issued, keys that can be guessed, wrong passwords."""
