variable "plugin_version" {
  description = "The version that the plugin reports of itself: vault-plugin-secrets-authpipe is refused by another."
  type        = string
}

variable "plugin_sha256" {
  description = "The SHA-256 sum of the binary in plugin_directory."
  type        = string
}

variable "public_url" {
  description = "Vault as browsers and Facebook reach it, without a path: https://vault.example.com"
  type        = string
}

variable "return_urls" {
  description = "Where a session may send the browser back to, to the letter."
  type        = list(string)
  default     = []
}

variable "facebook_client_id" {
  description = "The app id. A string: Facebook's ids are larger than a number can be."
  type        = string
}

variable "facebook_client_secret" {
  description = "The app secret, which then stands in Terraform's state in the clear. Null: written by hand, as README.md shows."
  type        = string
  default     = null
  sensitive   = true
}

variable "tenants" {
  description = "Your customers' ids: a letter or digit first, then letters, digits, '.', '_' and '-'."
  type        = set(string)

  validation {
    # A tenant named + would match all tenants, on servers that take it for a wildcard in a templated policy.
    condition     = alltrue([for t in var.tenants : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", t))])
    error_message = "A tenant is 1 to 64 characters: a letter or digit, then letters, digits and . _ -"
  }
}
