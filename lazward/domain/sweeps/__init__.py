"""What a sweep is: its search space, how points of it are chosen, when trials are stopped, what happens next. Pure."""
