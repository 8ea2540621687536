"""Messages of unknown streams: their kinds, what each looks like, and what to do with them."""
