"""The parts of the check schemathesis: its rules, the messages that its events hold, and its report."""
