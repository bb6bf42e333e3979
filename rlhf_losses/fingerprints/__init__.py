"""What must be the same when a run resumes: its fingerprint, and the comparison."""
