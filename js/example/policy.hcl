# The application's policy: connect and use the credentials of org_acme, and relay Facebook's webhooks.
path "authpipe/connect/org_acme/*" { capabilities = ["update"] }
path "authpipe/sessions/org_acme/*" { capabilities = ["read", "update"] }
path "authpipe/connections/org_acme/*" { capabilities = ["read", "list"] }
path "authpipe/creds/org_acme/*" { capabilities = ["read", "list", "delete"] }
path "authpipe/webhooks/facebook/notify" { capabilities = ["update"] }
