"""Who looks at the pages: how the server lets people log in, who they are, and what they see without a role."""
