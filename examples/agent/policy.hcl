# What the agent's role may do: read this one credential, and nothing else.
path "authpipe/creds/org_acme/facebook/installation" {
  capabilities = ["read"]
}
