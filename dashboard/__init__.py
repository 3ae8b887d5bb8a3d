"""The screens of Signoff: each asks the service, draws, and sends one command."""
