"""What users and scripts are given to read."""
