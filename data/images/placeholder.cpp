// keeps the target buildable until it has a file of its own
