"""Who somebody is by what comes from outside: the claims of a login, or the headers of a proxy."""
