"""What jobs of each kind are: checked before anything is stored, pure."""
