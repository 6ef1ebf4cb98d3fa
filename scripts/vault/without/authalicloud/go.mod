module github.com/hashicorp/vault-plugin-auth-alicloud

go 1.26
