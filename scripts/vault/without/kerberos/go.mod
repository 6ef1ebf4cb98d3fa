module github.com/hashicorp/vault-plugin-auth-kerberos

go 1.26
