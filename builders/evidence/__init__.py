"""What people have said about clips before this project asked anybody."""
