"""Parts of messages: names of settings, printed commands, numbers, addresses of pages."""
