package authpipe_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// BenchmarkVault measures reads without a cache: of one credential, over HTTP and with Vault's own client, one after another. It is
// here to be compared with the others.
func BenchmarkVault(b *testing.B) {
	if testing.Short() {
		b.Skip("needs a Vault server: left out with -short")
	}
	env := sharedEnvironment()
	client := authpipe.New(env.vault, authpipe.Options{})
	defer client.Close()
	env.connect(client, "org_bench", "", alice)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := env.vault.Logical().Read("authpipe/creds/org_bench/facebook/installation"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCredential measures reads from the cache, with 10,000 credentials in it. Run it with -cpu 1,4.
func BenchmarkCredential(b *testing.B) {
	const refs = 10_000
	d := newDouble(time.Now)
	client := newClient(b, d, authpipe.Options{Size: refs + 2}) // room for the refs of all three
	all := make([]authpipe.Request, refs)
	for i := range all {
		user := fmt.Sprintf("user_%d", i)
		d.put("org_acme/facebook/users/"+user, stored{token: user, expires: time.Now().Add(time.Hour), ttl: 30 * time.Minute})
		all[i] = authpipe.Request{Tenant: "org_acme", User: user, For: authpipe.ForUser}
		token(b, client, all[i])
	}
	d.put(installation, stored{token: "the installation's"})
	for name, requests := range map[string][]authpipe.Request{
		"one ref": all[:1], "10000 refs": all, "any of a user that never connected": {{Tenant: "org_acme", User: "stranger", For: authpipe.ForAny}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				ctx := b.Context()
				for i := 0; pb.Next(); i++ {
					if _, err := client.Credential(ctx, requests[i%len(requests)]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
