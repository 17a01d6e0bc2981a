"""Where machines come from; each driver speaks to one kind of cloud."""
