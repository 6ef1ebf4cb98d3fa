package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/bench/crowd"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// hitsARound is the number of reads of each goroutine.
const hitsARound = 1_000_000

// hits measures reads from the Go client's cache, and compares them with read, the time of a read over HTTP.
func hits(ctx context.Context, v *vault, read time.Duration) ([]row, error) {
	config := api.DefaultConfig()
	config.Address = v.addr
	vault, err := api.NewClient(config)
	if err != nil {
		return nil, err
	}
	vault.SetToken(v.token)
	client := authpipe.New(vault, authpipe.Options{})
	defer client.Close()
	var requests []authpipe.Request
	for n := range warmRefs {
		part := strings.Split(crowd.Nth(n).Ref, "/")
		requests = append(requests, authpipe.Request{Tenant: part[0], User: part[3], For: authpipe.ForUser})
		if _, err := client.Credential(ctx, requests[n]); err != nil {
			return nil, err
		}
	}
	var rows []row
	for _, goroutines := range []int{1, runtime.GOMAXPROCS(0)} {
		begun := time.Now()
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				for i := range hitsARound {
					if _, err := client.Credential(ctx, requests[i%warmRefs]); err != nil {
						panic(err) // it is in the cache
					}
				}
			})
		}
		all.Wait()
		each := time.Since(begun) / hitsARound
		rows = append(rows, row{
			what: fmt.Sprintf("warm read: Go client's cache, %d goroutines", goroutines), wanted: "below 100 ns",
			figure: fmt.Sprintf("%d ns", each.Nanoseconds()), detail: "time of a read",
		})
		if goroutines == 1 {
			rows = append(rows, row{
				ratio: true, what: "warm read: over HTTP / from the Go client's cache", figure: fmt.Sprintf("%.0f", float64(read)/float64(each)),
				detail: "median of 1 connection; mean of 1 goroutine",
			})
		}
	}
	return rows, nil
}
