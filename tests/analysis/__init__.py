"""What the headers tell, against figures derived by hand."""
