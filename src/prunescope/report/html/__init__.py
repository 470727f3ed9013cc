"""What does a result look like in a browser? One page that needs nothing but itself."""
