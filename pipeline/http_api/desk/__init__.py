"""The desk over HTTP, `/api/v1` of `signoff serve --desk`: the verbs of the command line, by identity tokens alone."""
