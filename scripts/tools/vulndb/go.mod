// The database of known vulnerabilities that "make lint" reads (scripts/vulnerabilities.sh). It is a module of its own because no
// program of golang.org/x/vulndb is built here: the requirements of those programs would raise the versions of the other tools.
//
// For a newer database: cd scripts/tools/vulndb && go get golang.org/x/vulndb@latest && go mod download golang.org/x/vulndb
module github.com/authpipe/vault-plugin-secrets-authpipe/scripts/tools/vulndb

go 1.26.0

require golang.org/x/vulndb v0.0.0-20261105234957-e22db6528018
