module github.com/hashicorp/hcp-link

go 1.26
