"""What a person asks of a batch that is there: pause its buying, cancel it, run some of its jobs again."""
