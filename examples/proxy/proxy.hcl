# Vault Proxy serves an application that has no token of its own, over a socket that only the application's group can open:
#
#   vault proxy -config=proxy.hcl
#
# What to replace, and the policy that the proxy needs: README.md.

vault {
  address = "https://vault.example.com:8200"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/authpipe-proxy/role_id"
      secret_id_file_path = "/etc/authpipe-proxy/secret_id" # the proxy deletes it after reading
    }
  }
}

api_proxy {
  # The proxy replaces a caller's token by its own, so the proxy's policy is the application's.
  use_auto_auth_token = "force"
}

# Caches the proxy's own token. Credentials have no lease and are not cached: each read reaches Vault and gets the newest token.
cache {}

listener "unix" {
  address      = "/run/vault-proxy/proxy.sock"
  socket_mode  = "0660"
  socket_group = "app"
  tls_disable  = true

  # Requires the header X-Vault-Request, which a browser's page, or a URL that an attacker has the application fetch, cannot send.
  require_request_header = true
}
