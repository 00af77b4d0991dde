"""Calling as the wrong user: objects of another user, functions of administrators, properties that are not for clients."""
