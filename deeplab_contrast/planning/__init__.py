"""A recipe for own data: settings that suit the data and the machine."""
