# Vault Agent keeps one credential in a file, and renders it anew after each refresh:
#
#   vault agent -config=agent.hcl
#
# What to replace, and the policy that the agent needs: README.md.

vault {
  address = "https://vault.example.com:8200"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/authpipe-agent/role_id"
      secret_id_file_path = "/etc/authpipe-agent/secret_id" # deleted once it was read
    }
  }
}

template_config {
  # For a credential without a planned refresh: a static one, or a token that does not expire. All others come with ttl and
  # rotation_period, and the agent goes by these.
  static_secret_render_interval = "1h"
}

template {
  # Fields that the answer may lack ought to stop the rendering rather than become "<no value>".
  error_on_missing_key = true

  contents = <<EOT
{{ with secret "authpipe/creds/org_acme/facebook/installation" -}}
FACEBOOK_ACCESS_TOKEN={{ .Data.access_token }}
FACEBOOK_APPSECRET_PROOF={{ .Data.appsecret_proof }}
{{ end }}
EOT

  destination = "/run/app/facebook.env"
  perms       = "0600"

  # Run after each rendering that changed the file.
  exec {
    command = ["systemctl", "reload", "app.service"]
    timeout = "30s"
  }
}
