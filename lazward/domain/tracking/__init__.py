"""What experiment tracking decides: names, limits, states, the search language, where artifacts lie. Pure."""
