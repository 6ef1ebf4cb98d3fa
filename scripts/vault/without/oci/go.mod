module github.com/oracle/oci-go-sdk

go 1.26
