"""One file per command, which turns flags into arguments; no command imports another."""
