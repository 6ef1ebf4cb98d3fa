package refresh_test

import (
	"context"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// BenchmarkWarmRead measures what the engine itself adds to a read that needs
// nothing of storage or the provider: no Vault stands around it.
func BenchmarkWarmRead(b *testing.B) {
	e := enginetest.Connected(b, authpipetest.Options{})
	for name, ref := range map[string]string{"installation": enginetest.Installation, "user": enginetest.Uma, "page": enginetest.Page777} {
		e.Read("creds/" + ref)
		req := logical.Request{Operation: logical.ReadOperation, Path: "creds/" + ref, Storage: e.Storage}
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
		e.Storage.Reset()
	}
}
