"""Homes as released versions wrote them: one frozen writer a schema, for the tests of migrations."""
