"""What a person asks of an existing batch: pause its buying, cancel it, run some of its jobs again."""
