module github.com/hashicorp/go-secure-stdlib/awsutil

go 1.26
