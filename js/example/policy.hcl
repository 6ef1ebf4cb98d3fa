# What the application may do in Vault: connect and use what is org_acme's, and hand on what Facebook's webhook has brought.
path "authpipe/connect/org_acme/*" { capabilities = ["update"] }
path "authpipe/sessions/org_acme/*" { capabilities = ["read", "update"] }
path "authpipe/connections/org_acme/*" { capabilities = ["read", "list"] }
path "authpipe/creds/org_acme/*" { capabilities = ["read", "list", "delete"] }
path "authpipe/webhooks/facebook/notify" { capabilities = ["update"] }
