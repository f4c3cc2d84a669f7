"""What is stored of a suite's cells, what is missing and why, and what it will cost; without torch."""
