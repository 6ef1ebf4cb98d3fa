# The part of the application that serves one tenant: the one in its entity's metadata.
path "authpipe/connect/{{identity.entity.metadata.tenant}}/*" {
  capabilities = ["update"]
}
path "authpipe/sessions/{{identity.entity.metadata.tenant}}/+" {
  capabilities = ["read", "delete"]
}
path "authpipe/sessions/{{identity.entity.metadata.tenant}}/+/complete" {
  capabilities = ["update"]
}
path "authpipe/creds/{{identity.entity.metadata.tenant}}/*" {
  capabilities = ["read", "list"]
}
path "authpipe/connections/{{identity.entity.metadata.tenant}}/*" {
  capabilities = ["read", "list"]
}
