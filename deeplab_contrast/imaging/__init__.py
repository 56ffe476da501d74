"""Images as files and pictures: reading, checking, drawing."""
