"""What should be removed, why, and the removal: plan → scores → selection → slices."""
