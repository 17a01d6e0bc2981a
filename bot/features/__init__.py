"""What people can do, one file per thing; features link to each other by buttons only."""
