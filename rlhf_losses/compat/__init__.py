"""Names and arguments of other libraries, on the trainers of this package."""
