module github.com/hashicorp/go-gcp-common

go 1.26
