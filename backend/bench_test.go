package backend_test

import (
	"context"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// BenchmarkWarmRead measures what the engine itself adds to a read that needs
// nothing of storage or the provider: no Vault stands around it.
func BenchmarkWarmRead(b *testing.B) {
	e := both(b, authpipetest.Options{})
	for name, ref := range map[string]string{"installation": installation, "user": uma, "page": page777} {
		e.read("creds/" + ref)
		req := logical.Request{Operation: logical.ReadOperation, Path: "creds/" + ref, Storage: e.storage}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Backend.HandleRequest(context.Background(), &req); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+" by many", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for req := req; pb.Next(); {
					if _, err := e.Backend.HandleRequest(context.Background(), &req); err != nil {
						b.Error(err)
					}
				}
			})
		})
		e.storage.Reset()
	}
}
