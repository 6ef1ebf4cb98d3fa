module github.com/hashicorp/hcp-scada-provider

go 1.26
