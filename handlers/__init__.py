"""The code that runs in Lambda: thin entry modules over logic that knows no event shapes."""
