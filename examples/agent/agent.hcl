# Vault Agent renders one credential to a file, again after each refresh:
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
      secret_id_file_path = "/etc/authpipe-agent/secret_id" # the agent deletes it after reading
    }
  }
}

template_config {
  # For a credential without a planned refresh: a static one, or a token that does not expire. For all others the agent uses
  # ttl and rotation_period.
  static_secret_render_interval = "1h"
}

template {
  # A missing field stops the rendering. Without this it becomes "<no value>".
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
