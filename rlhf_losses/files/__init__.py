"""Reading of datasets: files, folders, URLs and the Hub; CSV and JSON values are those that are written.

`locations` imports no large package, so the command line checks names before it imports any.
"""
