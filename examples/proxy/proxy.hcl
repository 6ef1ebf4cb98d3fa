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
      secret_id_file_path = "/etc/authpipe-proxy/secret_id" # deleted once it was read
    }
  }
}

api_proxy {
  # Whatever token a caller sends is replaced: the policy of the proxy is the application's.
  use_auto_auth_token = "force"
}

# Keeps the proxy's own token. Credentials have no lease, and are not kept: each read reaches Vault, and sees the newest token.
cache {}

listener "unix" {
  address      = "/run/vault-proxy/proxy.sock"
  socket_mode  = "0660"
  socket_group = "app"
  tls_disable  = true

  # A page in a browser, or a URL that the application was talked into fetching, cannot send the header X-Vault-Request.
  require_request_header = true
}
