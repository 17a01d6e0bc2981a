"""What administrators can do."""
