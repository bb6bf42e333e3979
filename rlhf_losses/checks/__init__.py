"""Checks of arguments, of the types of settings and of JSON, of texts and of installed packages."""
