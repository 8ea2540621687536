"""SQL templates of sqlgen: structural features, bars and source adapters, by subject."""
