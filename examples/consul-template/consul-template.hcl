# consul-template renders one credential to a file, again after each refresh:
#
#   VAULT_TOKEN=… consul-template -config=consul-template.hcl
#
# What to replace, and the policy that the token needs: README.md.

vault {
  address = "https://vault.example.com:8200"

  # For a credential without a planned refresh: a static one, or a token that does not expire. For all others consul-template
  # uses ttl and rotation_period.
  default_lease_duration = "1h"

  # By default consul-template ends after twelve retries, five minutes. With 0 it retries for ever.
  retry {
    attempts = 0
  }
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
