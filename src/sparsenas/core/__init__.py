"""What an author of a search space imports: choices, the modules that offer them, and plain networks out of them."""
