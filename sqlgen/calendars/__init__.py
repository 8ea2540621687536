"""Trading sessions of exchanges that close, from the package exchange_calendars."""
