// Package authpipe is the client of the secrets engine authpipe: it answers with credentials that work, from memory.
package authpipe
