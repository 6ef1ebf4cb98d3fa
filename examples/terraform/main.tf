# authpipe in a Vault server: the plugin in the catalog, a mount, the client at Facebook, a policy for each tenant's part of
# the application, and quotas for the paths without a token. What to replace: variables.tf. Explanations: README.md.

terraform {
  required_version = ">= 1.5"

  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = "~> 5.0"
    }
  }
}

# The address and the token come from VAULT_ADDR and VAULT_TOKEN.
provider "vault" {}

# The binary is in plugin_directory on each server, under its name in the release: Terraform cannot copy it there. Each version
# has its own file, so that the former one can be started until the mount has moved, and be restored.
resource "vault_plugin" "authpipe" {
  type    = "secret"
  name    = "vault-plugin-secrets-authpipe"
  command = "vault-plugin-secrets-authpipe_${var.plugin_version}_linux_amd64"
  version = var.plugin_version
  sha256  = var.plugin_sha256

  # An upgrade removes the former version from the catalog last, when the mount has moved to the new one.
  lifecycle {
    create_before_destroy = true
  }
}

resource "vault_mount" "authpipe" {
  path           = "authpipe"
  type           = vault_plugin.authpipe.name
  plugin_version = vault_plugin.authpipe.version
  description    = "OAuth credentials of our customers"

  # The callback page is in the browser's language, and has the headers that forbid others to frame it.
  passthrough_request_headers = ["Accept-Language"]
  allowed_response_headers    = ["Content-Security-Policy", "Referrer-Policy", "X-Frame-Options", "X-Content-Type-Options", "Vary", "Content-Language"]

  # Without the mount all tokens are lost. They stay valid at Facebook, and cannot be revoked any more.
  lifecycle {
    prevent_destroy = true
  }
}

resource "vault_generic_endpoint" "facebook" {
  path = "${vault_mount.authpipe.path}/config/facebook"

  # The answer has no secret, and data_json has no fields with defaults: without this line each plan would
  # write both again.
  ignore_absent_fields = true

  # Lists and numbers as the engine answers them, or each plan would find a difference: no "a,b", no "10m".
  data_json = jsonencode(merge({
    client_id           = var.facebook_client_id
    redirect_uris       = ["${var.public_url}/v1/authpipe/callback/facebook"]
    return_urls         = var.return_urls
    installation_scopes = ["pages_show_list", "pages_read_engagement", "pages_manage_posts"]
    user_scopes         = ["public_profile", "email"]
    session_ttl         = 600
  }, var.facebook_client_secret == null ? {} : { client_secret = var.facebook_client_secret }))
}

# Binds each caller to its entity's tenant, even if a policy allows more.
resource "vault_generic_endpoint" "settings" {
  path                 = "${vault_mount.authpipe.path}/settings"
  ignore_absent_fields = true
  disable_delete       = true # the engine always has settings
  data_json            = jsonencode({ tenant_metadata_key = "tenant" })
}

resource "vault_policy" "tenant" {
  name   = "authpipe-tenant"
  policy = file("${path.module}/policies/tenant.hcl")
}

resource "vault_policy" "operator" {
  name   = "authpipe-operator"
  policy = file("${path.module}/policies/operator.hcl")
}

# The part of the application that serves one tenant logs in as one entity. Join it to an auth method by
# vault_identity_entity_alias.
resource "vault_identity_entity" "tenant" {
  for_each = var.tenants

  name     = "app-${each.key}"
  policies = [vault_policy.tenant.name]
  metadata = { tenant = each.key }
}

# The three paths below need no token. Behind a proxy set x_forwarded_for_authorized_addrs on Vault's listener, or all
# callers share one bucket.
resource "vault_quota_rate_limit" "public" {
  for_each = {
    authpipe-callback      = { path = "callback/facebook", rate = 5 }
    authpipe-deauthorize   = { path = "webhooks/facebook/deauthorize", rate = 50 }
    authpipe-data-deletion = { path = "webhooks/facebook/data-deletion", rate = 50 }
  }

  name     = each.key
  path     = "${vault_mount.authpipe.path}/${each.value.path}"
  rate     = each.value.rate
  interval = 1
}
